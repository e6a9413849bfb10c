"""Plans, verdicts and commands for the tests of this room."""

from gridloom.core.plans import Action, ActionKind, Autonomy, Check, Command, Plan, Rank, Verdict

OPEN = Action(kind=ActionKind.OPEN, target="switch 1")


def plan(id_: str = "plan 1", trigger: str = "branch:line 4") -> Plan:
    return Plan(
        id=id_,
        agent="restoration",
        cell="a.b",
        rank=Rank.RESTORATION,
        reason="line 4 is faulted",
        actions=(OPEN,),
        undo=(),
        expectation={"restored_mw": 1.5},
        state_hash="ab",
        made_ns=1,
        expires_ns=2,
        trigger=trigger,
    )


def verdict(id_: str = "plan 1", *, accepted: bool = True, worst: float = 0.97) -> Verdict:
    check = Check(name="voltage", passed=accepted, worst=worst, limit=0.9, unit="pu")
    return Verdict(
        plan_id=id_, accepted=accepted, checks=(check,), decided_ns=3, autonomy=Autonomy.ACT
    )


def command(target: str = "switch 1", kind: ActionKind = ActionKind.OPEN) -> Command:
    return Command(
        plan_id="plan 1",
        epoch=1,
        action=Action(kind=kind, target=target),
        issued_ns=4,
        expires_ns=5,
        issuer="platform",
    )
