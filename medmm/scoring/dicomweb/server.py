"""A DICOMweb server: searched by QIDO-RS, its instances fetched by WADO-RS.

Searches go through dicomweb-client. Instances do not: the client parses each one, whole in memory and in this process, where
here the bytes go to disk as they were stored and meet our readers first in a process of their own.

Source: DICOM PS3.18, section 10.6 (Search Transaction) and 10.4 (Retrieve Transaction).
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from threading import Event
from typing import Any, BinaryIO, Self, TypeVar

from medmm.errors import ConfigError, DataError
from medmm.scoring.dicomweb.address import Address
from medmm.scoring.dicomweb.connection import TransferError, connect, failures_told
from medmm.scoring.dicomweb.listing import (
    INSTANCE,
    INSTANCES_OF_SERIES,
    INSTANCES_OF_STUDY,
    MODALITIES,
    MODALITY,
    SERIES,
    STUDY,
    RemoteInstance,
    RemoteStudy,
    Search,
    count_in,
    study_in,
    texts_in,
    uid_in,
)
from medmm.scoring.dicomweb.multipart import only_part

PAGE = 200
"""Results that are asked for at a time."""

MOST_SERIES, MOST_INSTANCES = 10_000, 100_000
"""Of a study and of a series; a server that names more is not believed."""

CHUNK_BYTES = 1 << 18
TIMEOUT_SECONDS = (10.0, 30.0)
"""To connect, and between two pieces of an answer."""

PAUSES = (0.5, 2.0, 8.0, 20.0)
"""Seconds before what failed is tried again; then it is given up."""

Result = TypeVar("Result")
Page = list[Mapping[str, Any]]


class Server:
    """A DICOMweb server, until it is closed. Several threads may fetch instances at once.

    Args:
        address: Its root.
        stop: Set to give up what is under way.
        environment: Where the credentials stand.
        pauses: Seconds before a failed request is tried again.
        connections: That are kept open.

    Attributes:
        stop: The event.

    Raises:
        ConfigError: The credentials cannot be used, or dicomweb-client is not installed.
    """

    def __init__(
        self,
        address: Address,
        stop: Event | None = None,
        environment: Mapping[str, str] = os.environ,
        pauses: Sequence[float] = PAUSES,
        connections: int = 8,
    ) -> None:
        try:
            from dicomweb_client.web import DICOMwebClient
        except ImportError:
            raise ConfigError("a DICOMweb server needs a package that is not here: pip install medmm[dicomweb]") from None
        self.stop = stop or Event()
        self._session = connect(address, self.stop, connections, environment)
        self._client = DICOMwebClient(address.url, session=self._session, timeout=TIMEOUT_SECONDS, permissive_uid=True)
        self._client.host = address.host  # the client leaves the port out, of which a server may make its links
        self._client.set_http_retry_params(retry=False)
        self._address = address
        self._pauses = pauses

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def studies(self, search: Search, left: Callable[[int], None] = lambda _: None) -> Iterator[RemoteStudy]:
        """Give the studies that match, each once, in the order of the server, page by page, until `stop` is set.

        Args:
            search: What has to match.
            left: Told at the end how many studies have no usable Study Instance UID.

        Raises:
            DataError: The server does not answer a search as it should.
            ConfigError: It refuses us, cannot be trusted, or stands elsewhere.
        """
        seen: set[str] = set()
        broken = 0
        for modality in search.modalities or (None,):
            ask = _question(
                self._client.search_for_studies,
                fields=(INSTANCES_OF_STUDY, MODALITIES),
                ModalitiesInStudy=modality,
                StudyDate=search.days(),
            )
            try:
                for row in self._pages(ask, STUDY, self._patiently):
                    study = study_in(row)
                    broken += study is None
                    named = texts_in(row, MODALITIES)
                    other = search.modalities and named and not set(named) & set(search.modalities)
                    if study is None or study.uid in seen or other:  # a server may not know a filter, and pass all
                        continue
                    seen.add(study.uid)
                    yield study
                    if len(seen) == search.most:
                        return
            except TransferError as failure:
                if self.stop.is_set():
                    return
                raise DataError(
                    f"the DICOMweb server was asked for its studies and gave {failure.found}: "
                    "check its address and that it is up, then score again; what was scored is kept"
                ) from None
        if broken:
            left(broken)

    def instances(self, study: RemoteStudy, modalities: Sequence[str]) -> list[RemoteInstance]:
        """Give the instances of the series of a study that have one of some modalities; of all where none is named.

        Raises:
            TransferError: The server does not list them, names what is no UID, or counts others than it lists.
            ConfigError: It refuses us, or cannot be trusted.
        """
        return self._patiently(lambda: self._listed(study.uid, modalities))

    def fetch(self, instance: RemoteInstance, file: BinaryIO) -> None:
        """Fetch one instance, as it is stored, into a file; what came of a failed try is overwritten.

        Raises:
            TransferError: It did not come as a whole.
            ConfigError: The server refuses us, or cannot be trusted.
        """
        url = f"{self._address.url}/studies/{instance.study}/series/{instance.series}/instances/{instance.uid}"
        headers = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}

        def fetched() -> None:
            file.seek(0)
            file.truncate()
            with failures_told(), self._session.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as answer:
                answer.raise_for_status()
                for piece in only_part(answer.headers.get("Content-Type", ""), answer.iter_content(CHUNK_BYTES)):
                    file.write(piece)

        self._patiently(fetched)

    def _listed(self, study: str, modalities: Sequence[str]) -> list[RemoteInstance]:
        found: list[RemoteInstance] = []
        ask = _question(self._client.search_for_series, study, fields=(INSTANCES_OF_SERIES,))
        for row in self._all(ask, SERIES, MOST_SERIES):
            if modalities and not set(texts_in(row, MODALITY)) & set(modalities):
                continue
            series = _believed(row, SERIES)
            rows = self._all(_question(self._client.search_for_instances, study, series), INSTANCE, MOST_INSTANCES)
            counted = count_in(row, INSTANCES_OF_SERIES)
            if counted is not None and counted != len(rows):
                raise TransferError(f"{len(rows)} instances of a series of which it counts {counted}")
            found += [RemoteInstance(study, series, _believed(one, INSTANCE)) for one in rows]
        if len({one.uid for one in found}) < len(found):
            raise TransferError("an instance that it lists twice", again=False)
        return found

    def _all(self, ask: Callable[[int], Page], key: str, most: int) -> Page:
        rows = list(islice(self._pages(ask, key, lambda call: call()), most + 1))
        if len(rows) > most:
            raise TransferError("more results than a study can have", again=False)
        return rows

    def _pages(
        self, ask: Callable[[int], Page], key: str, trying: Callable[[Callable[[], Page]], Page]
    ) -> Iterator[Mapping[str, Any]]:
        """Give the results of a search until a page brings nothing new: the end, or a server that knows no offset.

        Args:
            ask: Gives the page from a result on.
            key: Tag of the UID by which results are told apart.
            trying: How a page is asked for.
        """
        seen: set[str | None] = set()
        offset = 0
        while True:
            rows = trying(lambda begin=offset: ask(begin))  # type: ignore[misc]
            fresh = [row for row in rows if uid_in(row, key) not in seen]
            yield from fresh
            if not fresh:
                return
            seen |= {uid_in(row, key) for row in fresh}
            offset += len(rows)

    def _patiently(self, call: Callable[[], Result]) -> Result:
        for pause in self._pauses:
            try:
                return call()
            except TransferError as failure:
                if not failure.again or self.stop.wait(pause):
                    raise
        return call()


def _question(
    search: Callable[..., Any], *uids: str, fields: Sequence[str] = (), **filters: str | None
) -> Callable[[int], Page]:
    """Give the function that asks for the page from a result on."""
    wanted = {name: value for name, value in filters.items() if value is not None}

    def ask(begin: int) -> Page:
        with failures_told():
            rows = search(*uids, limit=PAGE, offset=begin, fields=fields, search_filters=wanted)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise TransferError("an answer that is no list of results")
        return rows

    return ask


def _believed(row: Mapping[str, Any], tag: str) -> str:
    uid = uid_in(row, tag)
    if uid is None:
        raise TransferError("what is no UID", again=False)
    return uid
