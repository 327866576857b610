"""The usual service: what a careful person writes after the tutorials of FastAPI, SQLAlchemy and boto3.

It does the same work as Mooring's two photo routes (photo, ledger and event rows durable before the answer,
the object looked at before a confirm is believed) and nothing in it is slow on purpose."""
