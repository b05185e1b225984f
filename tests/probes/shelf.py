"""A shop's backups in a real store, which can be made older, larger or worse than they are."""

from __future__ import annotations

import json
from datetime import timedelta

from asked import Asked

from ops import S3, Backups, Directory, clock, probes
from ops.checks import Result
from ops.sandbox.shop import Shop
from ops.stores import Store, open_store
from ops.worker.catalogue import DUMP, GLOBALS, MANIFEST, VERIFICATION, Catalogue
from ops.worker.check import record
from ops.worker.manifest import seal
from ops.worker.request import Request


class Shelf:
    """A shop's backups, which can be made older, larger or worse than they are."""

    def __init__(self, shop: Shop, store: S3 | Directory) -> None:
        self.worker = Asked(shop, store)

    @property
    def store(self) -> Store:
        return open_store(self.worker.store)

    @property
    def catalogue(self) -> Catalogue:
        return Catalogue(self.store, "test", self.worker.shop.name)

    def take(self) -> str:
        """Take a backup; its id."""
        return str(self.worker.ask("dump").backup["id"])

    def copy(self, id: str, age: float, larger: int = 0) -> str:
        """The same backup once more, as if it had been taken so many seconds ago; the copy's id."""
        store, catalogue = self.store, self.catalogue
        manifest = catalogue.load(id).manifest
        assert manifest is not None
        copy = clock.stamp(clock.now() - timedelta(seconds=age))
        dump = store.read(catalogue.key(id, DUMP))[0] + bytes(larger)
        stated = manifest.dump.model_copy(update={"size": len(dump)})
        store.write(catalogue.key(copy, DUMP), dump)
        store.write(catalogue.key(copy, GLOBALS), store.read(catalogue.key(id, GLOBALS))[0])
        store.write(catalogue.key(copy, MANIFEST), seal(manifest.model_copy(update={"id": copy, "dump": stated})))
        return copy

    def move(self, id: str, age: float) -> str:
        """The same backup, as if it had been taken so many seconds ago; its new id."""
        copy = self.copy(id, age)
        self.remove(id)
        return copy

    def remove(self, id: str) -> None:
        catalogue = self.catalogue
        self.store.delete(catalogue.files(id))

    def prove(self, id: str, age: float = 0, *findings: str) -> None:
        """As if a drill had ended so many seconds ago, and found this."""
        catalogue = self.catalogue
        record(catalogue, catalogue.load(id), "drill", list(findings))
        found = self.catalogue.load(id).verification
        assert found is not None
        finished = clock.iso(clock.now() - timedelta(seconds=age))
        self.store.write(catalogue.key(id, VERIFICATION), seal(found.model_copy(update={"finished": finished})))

    def ask(self, check: Backups | None = None, **request: object) -> dict[str, Result]:
        """What came of the check, by what it looked at."""
        told = Request(**{**json.loads(self.worker.request()), **request})
        return {one.what: one for one in probes.ask(check or Backups(), told)}
