"""A bulk request carried out: each operation as the single request would be, one after the other (RFC 7644 §3.7)."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

from scimhub.directory import preconditions, resources
from scimhub.directory.errors import StoreUnavailable
from scimhub.directory.ports import ResourceStore
from scimhub.directory.representation import Viewpoint
from scimhub.directory.resources import Caller, Written
from scimhub.scim import bulk, bulk_order, bulk_references
from scimhub.scim.bulk import Operation, Result
from scimhub.scim.bulk_order import Step
from scimhub.scim.catalog import Kind
from scimhub.scim.errors import ScimError
from scimhub.scim.notes import Notes


@dataclass(frozen=True, slots=True)
class Executed:
    """The answer's body, the ids of the changes that were made, and what the exchange's record says of failures."""

    response: dict[str, object]
    change_ids: list[str]
    detail: str


async def execute(
    store: ResourceStore,
    caller: Caller,
    viewpoint: Viewpoint,
    body: object,
    max_operations: int,
    notes: Notes,
    new_id: Callable[[], str],
) -> Executed:
    """Run the operations in an order in which their references can be resolved; raises ScimError for the envelope."""
    request = bulk.parse_bulk(body, max_operations, caller.dialect, notes, viewpoint.base_url)
    run = _Run(store, caller, viewpoint, notes, new_id)
    for step in bulk_order.order(request.operations, viewpoint.catalog.at_endpoint):
        await run.take(step)
        if request.fail_on_errors is not None and run.failures >= request.fail_on_errors:
            break
    await run.undo_incomplete()
    detail = f"{run.failures} of {len(request.operations)} operations failed; the first: {run.first}" if run.failures else ""
    return Executed(bulk.render_results(run.results.values()), run.change_ids, detail)


@dataclass(slots=True)
class _Run:
    """What one bulk request has done so far. ``ids`` has the id of each resource that was created, by its bulkId."""

    store: ResourceStore
    caller: Caller
    viewpoint: Viewpoint
    notes: Notes
    new_id: Callable[[], str]
    ids: dict[str, str] = field(default_factory=dict)
    results: dict[int, Result] = field(default_factory=dict)
    change_ids: list[str] = field(default_factory=list)
    failures: int = 0
    # The detail of the first failure.
    first: str = ""
    # What was created without the references that close a circle, until a completing step has added them.
    incomplete: dict[int, tuple[Operation, Kind]] = field(default_factory=dict)

    async def take(self, step: Step) -> None:
        """Carry out the step and keep its result; a fault of it is a result too."""
        operation = step.operation
        if step.completes and operation.bulk_id not in self.ids:
            return  # its creation failed, which has been counted
        try:
            self.results[operation.index] = await self._carry_out(step)
        except ScimError as error:
            await self._fail(operation, error)
        except StoreUnavailable as fault:
            await self._fail(operation, ScimError(503, None, str(fault)))

    async def _fail(self, operation: Operation, error: ScimError) -> None:
        self.failures += 1
        self.first = self.first or error.detail
        if operation.index in self.incomplete:
            # Half a resource would be neither what was asked for nor what is reported.
            await self._undo(operation.index)
        self.results[operation.index] = self._refused(operation, error)

    async def undo_incomplete(self) -> None:
        """Take back what failOnErrors kept from being completed; such an operation counts as not processed."""
        for index in list(self.incomplete):
            await self._undo(index)
            del self.results[index]

    async def _undo(self, index: int) -> None:
        operation, kind = self.incomplete.pop(index)
        id = self.ids.pop(operation.bulk_id or "")
        written = await resources.delete(self.store, self.caller, kind, id, None)
        if written.change_id is not None:
            self.change_ids.append(written.change_id)

    async def _carry_out(self, step: Step) -> Result:
        operation = step.operation
        if operation.fault is not None:
            raise operation.fault
        kind = self.viewpoint.catalog.at_endpoint(operation.endpoint)
        if kind is None:
            raise ScimError(404, None, f"There is no endpoint {operation.endpoint[:200]!r}.")
        # What one operation drops must not be kept with the resource of another.
        notes = Notes()
        try:
            written = await self._write(step, kind, notes)
        finally:
            self.notes.rewrites += notes.rewrites
            self.notes.dropped += notes.dropped
        if written.change_id is not None:
            self.change_ids.append(written.change_id)
        if operation.method == "POST" and operation.bulk_id is not None:
            self.ids[operation.bulk_id] = written.resource.id
            if step.deferred and not step.completes:
                self.incomplete[operation.index] = (operation, kind)
            else:
                self.incomplete.pop(operation.index, None)
        status = {"POST": 201, "DELETE": 204}.get(operation.method, 200)
        result = Result(operation, status, self.viewpoint.location(kind, written.resource.id))
        return result if status == 204 else replace(result, version=self.viewpoint.etag(written.resource.version))

    async def _write(self, step: Step, kind: Kind, notes: Notes) -> Written:
        store, caller, operation = self.store, self.caller, step.operation
        if step.completes:
            body = bulk_references.completion(operation, kind, self.ids, step.deferred)
            return await resources.modify(store, caller, kind, self.ids[operation.bulk_id or ""], body, notes, None)
        # Parsing has seen to it that there is data where it is needed, and that it is an object.
        body = cast(dict[str, object], bulk_references.substitute(operation, kind, self.ids, step.deferred))
        if operation.method == "POST":
            return await resources.create(store, caller, kind, body, notes, self.new_id)
        id = bulk_references.resource_id(operation, self.ids) or ""
        precondition = preconditions.parse_if_match(operation.version, self.viewpoint.epoch)
        if operation.method == "PUT":
            return await resources.replace(store, caller, kind, id, body, notes, precondition)
        if operation.method == "PATCH":
            return await resources.modify(store, caller, kind, id, body, notes, precondition)
        return await resources.delete(store, caller, kind, id, precondition)

    def _refused(self, operation: Operation, error: ScimError) -> Result:
        # RFC 7644 §3.7.3: the location is always there, except when a POST failed.
        location = None
        if operation.resource_id is not None and not operation.resource_id.startswith(bulk.PREFIX):
            location = f"{self.viewpoint.base_url}{operation.endpoint}/{operation.resource_id}"
        return Result(operation, error.status, location, response=error.body())
