"""The shapes of backfills, drift reports and resyncs in the admin API, in and out."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from scimhub.distribution.drift import CATEGORIES, Category, Drift, Finding
from scimhub.distribution.plans import Action, Plan
from scimhub.distribution.restating import Progress
from scimhub.web.admin_models import Time, Wish


class BackfillShown(BaseModel):
    """How far a backfill, or the applying of a plan, is."""

    id: str = Field(description="The ids of its events end with it.")
    origin: Literal["directory", "log", "plan", "subscription"] = Field(
        description="directory: everybody in scope; log: whoever changed at lost positions; plan: a resync; "
        "subscription: who looks other by a new one."
    )
    state: Literal["running", "paused", "done", "stopped"]
    reason: str
    begun: Time
    updated: Time
    total: int = Field(description="How many are to be looked at.")
    looked_at: int
    told: int = Field(description="How many were handed out.")
    arrived: int = Field(description="How many of those arrived, or need not be told.")
    failed: int = Field(description="How many are held.")
    waits_for: str = Field(description="What keeps it from going on; empty when nothing does.")
    plan: str | None


class ResendWish(Wish):
    resources: list[str] = Field(
        min_length=1,
        max_length=1000,
        description="Ids, or values by which people are known, such as a userName or the displayName of a group.",
        examples=[["kim@example.com"]],
    )
    dry_run: bool = Field(False, description="Tell how many discarded removals it would overrule, and do nothing.")


class Resent(BaseModel):
    """What is told again."""

    id: str | None = Field(description="The ids of the events end with it; null for a dry run.")
    resources: list[str] = Field(description="The resources' ids.")
    overrules: int = Field(
        description="How many of them are gone by a removal that was discarded; the brake is asked for each of these."
    )


class FindingShown(BaseModel):
    """One resource that differs."""

    category: Category
    resource_type: str
    resource_id: str | None = Field(description="Ours; null for what was never ours.")
    remote_id: str | None
    reason: str
    paths: list[str] = Field(description="The attributes that differ.")
    values: dict[str, list[Any]] | None = Field(description="If asked for: by path our value and the destination's.")
    members_lacking: list[str]
    members_beyond: list[str]
    strangers: int = Field(description="Members that are not ours.")
    was_ours: bool


class DriftShown(BaseModel):
    """How a destination differs from what it was to be."""

    has_drift: bool = Field(description="Whether anything is missing, different, left over or in conflict.")
    position: int = Field(description="The newest position of the log when it was looked at.")
    shown: dict[str, int] = Field(description="By resource type how many the destination shows.")
    ours: dict[str, int] = Field(description="By resource type how many are in its scope.")
    counts: dict[str, dict[str, int]] = Field(description="By resource type how many are in each category.")
    ignored: dict[str, dict[str, int]] = Field(
        description="By resource type and path how many resources were written it and do not show it."
    )
    samples: list[FindingShown]
    limits: list[str] = Field(description="What could not be looked at.")


class PlanWish(Wish):
    remove_extra: bool = Field(False, description="Remove also what is there beyond our scope and was ours once.")


class ItemShown(BaseModel, from_attributes=True):
    """What would be done about one resource."""

    resource_id: str
    resource_type: str
    action: Action
    reason: str
    is_missing: bool
    remote_id: str | None
    paths: list[str]
    members_lacking: list[str]
    members_beyond: list[str]


class PlanShown(BaseModel, from_attributes=True):
    """What a resync would do."""

    id: str
    created: Time
    expires: Time
    position: int
    digest: str = Field(description="Names all that it would do.")
    items: int
    counts: dict[str, dict[str, int]] = Field(description="By action how many of which resource type.")
    samples: list[ItemShown]
    removes_extra: bool
    requests: int = Field(description="How many requests it takes at the least.")
    seconds: float | None = Field(description="How long that takes by the destination's rate limits; null without any.")
    verdict: str = Field(description="What the brake will make of the removals.")
    limits: list[str]


class Plans(BaseModel):
    items: list[PlanShown]


class ApplyWish(Wish):
    plan: str = Field(description="The plan's id.")
    most_moved_percent: float = Field(5.0, ge=0, le=100, description="How many of its resources may have changed since.")


def show_progress(progress: Progress) -> BackfillShown:
    """A backfill as the API shows it."""
    one = progress.backfill
    return BackfillShown(
        id=one.id,
        origin=one.origin,
        state=one.state,
        reason=one.reason,
        begun=one.begun,
        updated=one.updated,
        total=one.total,
        looked_at=one.looked_at,
        told=one.told,
        arrived=progress.arrived,
        failed=progress.failed,
        waits_for=progress.waits_for,
        plan=one.plan,
    )


def show_drift(drift: Drift, samples: int, *, with_values: bool) -> DriftShown:
    """A drift report with so many samples of each category."""
    chosen = [
        finding for category in CATEGORIES for finding in [one for one in drift.findings if one.category == category][:samples]
    ]
    return DriftShown(
        has_drift=not drift.is_none,
        position=drift.position,
        shown=drift.shown,
        ours=drift.ours,
        counts=drift.counts(),
        ignored=drift.ignored,
        samples=[_finding(one, with_values=with_values) for one in chosen],
        limits=drift.limits,
    )


def _finding(one: Finding, *, with_values: bool) -> FindingShown:
    return FindingShown(
        category=one.category,
        resource_type=one.resource_type,
        resource_id=one.resource_id,
        remote_id=one.remote_id,
        reason=one.reason,
        paths=sorted(one.values),
        values={path: list(pair) for path, pair in one.values.items()} if with_values else None,
        members_lacking=list(one.lacking),
        members_beyond=list(one.beyond),
        strangers=one.strangers,
        was_ours=one.was_ours,
    )


def show_plan(plan: Plan) -> PlanShown:
    """A plan as the API shows it."""
    return PlanShown.model_validate(plan, from_attributes=True)
