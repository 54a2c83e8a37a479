"""What those who watch the World are sent: Snapshots, newest or every Tick (R33 to R36).

PUBLISHER hears the news and does the work in slices at its `desk`; each display has a `feeder` or a
`logging_feeder`, and a `snapshot_writer` that puts its bytes together.
"""
