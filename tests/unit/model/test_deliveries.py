from datetime import UTC, datetime

import msgspec

from coderun.model.deliveries import DeliveryHint, DeliveryObject, DeliverySpec, DeliveryState
from coderun.model.meta import ObjectMeta
from coderun.model.names import delivery_name


def test_a_delivery_of_a_cluster_is_written_and_read_back_whole() -> None:
    delivery = DeliveryObject(
        metadata=ObjectMeta(name=delivery_name("d-1")),
        spec=DeliverySpec(
            delivery_id="d-1",
            event="pull_request.labeled",
            repository="github.com/acme/shop",
            received_at=datetime(2026, 11, 28, tzinfo=UTC),
            digest="ab",
            actor="ada",
            hints=(DeliveryHint(pull_request=4, tasks=(7,), branch="feature/task-7", head_sha="c0"),),
        ),
    )
    assert msgspec.json.decode(msgspec.json.encode(delivery), type=DeliveryObject) == delivery
    assert (delivery.name, delivery.status.state) == (delivery_name("d-1"), DeliveryState.PENDING)
