"""The HTTP port: health, status and metrics, for machines that look in (R40).

HTTP is the port; `http_exchange` is one connection, `http_answers` what it says; the readings come
through doors, as everything does.
"""
