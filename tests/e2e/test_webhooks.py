"""Webhooks by real processes: one serves, another works, a third listens."""

from standardwebhooks.webhooks import Webhook as Verifier

from servers.receiver import Receiver
from servers.serving import Mooring, put, until


def test_a_worker_delivers_what_another_process_confirmed_and_retries_what_was_refused(
    mooring: Mooring, receiver: Receiver
) -> None:
    mooring.env["MOORING_WEBHOOK_NETWORKS"] = "127.0.0.0/8"
    person = mooring.serve().sign_in()
    mooring.work()
    asked = {"url": receiver.url(), "events": ["upload.arrived"]}
    made = person.http.post("/webhooks", json=asked).json()
    receiver.status = 503
    issued = person.issue()
    assert put(issued).status_code == 200
    assert person.confirm(issued).status_code == 200
    until(lambda: receiver.received)
    receiver.status = 204
    until(lambda: len(receiver.received) == 2)  # five seconds later
    verified = [Verifier(made["secret"]).verify(one.body, one.headers) for one in receiver.received]
    assert verified[0] == verified[1]
    assert verified[0]["data"]["upload_id"] == issued["photo_id"]
    assert receiver.received[0].headers["webhook-id"] == receiver.received[1].headers["webhook-id"]
    deliveries = f"/webhooks/{made['id']}/deliveries"
    delivered = until(lambda: person.http.get(deliveries, params={"state": "delivered"}).json()["deliveries"])
    assert [(one["attempts"], one["status"], one["error"]) for one in delivered] == [(2, 204, None)]
