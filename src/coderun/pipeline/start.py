"""May the play start? Dependencies, slots and a pause hold it back; it never ends one."""

from msgspec.structs import replace

from coderun.pipeline.draft import Draft


def started(draft: Draft) -> bool:
    """Enter the first stage, or say what holds the play back; True when it has started."""
    if draft.status.stage:
        return True
    facts, spec = draft.facts, draft.play.spec
    if spec.paused:
        draft.wait_paused()
    elif facts.twin:
        draft.wait(
            "dependency",
            "PlayedAlready",
            f"play {facts.twin} is about the same task and goes first",
            f"the end of {facts.twin}, or deleting one of the two",
            target=facts.twin,
        )
    elif facts.broken_dependencies:
        names = _tasks(facts.broken_dependencies)
        draft.wait(
            "dependency",
            "DependencyFailed",
            f"{names} did not succeed",
            f"retry {names}, or abort this play",
            target=names,
        )
    elif facts.blocked_by:
        names = _tasks(facts.blocked_by)
        draft.wait(
            "dependency",
            "DependencyNotDone",
            f"{names} must be merged first",
            f"the merge of {names}",
            target=names,
        )
    elif facts.ahead:
        others = ", ".join(facts.ahead[:3])
        draft.wait(
            "slot",
            "PlaysAhead",
            f"{len(facts.ahead)} play(s) come first: {others}",
            "the end of one of them, or a larger play.parallel in coderun.yaml",
        )
    else:
        first = facts.pipeline.stages[0]
        draft.status = replace(draft.status, started_at=draft.now)
        draft.enter(first)
        draft.note("Started", f"task {spec.task_id} starts with stage {first.name}")
        return True
    return False


def _tasks(ids: tuple[int, ...]) -> str:
    return ("task " if len(ids) == 1 else "tasks ") + ", ".join(map(str, ids))
