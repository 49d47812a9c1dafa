"""Partial shapes of objects."""

from coderun.kube.objects import KubeMeta, OwnerReference, plain


def test_only_the_controller_owns() -> None:
    meta = KubeMeta(name="x", owner_references=(OwnerReference(uid="a", controller=True), OwnerReference(uid="b")))
    assert (meta.is_owned_by("a"), meta.is_owned_by("b"), meta.is_owned_by("c")) == (True, False, False)


def test_what_is_at_its_default_is_not_written() -> None:
    assert plain(KubeMeta(name="x", owner_references=(OwnerReference(uid="a", controller=True),))) == {
        "name": "x",
        "ownerReferences": ({"uid": "a", "controller": True},),
    }
