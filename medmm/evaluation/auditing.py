"""How a run is audited."""

from medmm.settings import Settings


class AuditSettings(Settings):
    """What a person decided about the checks of `medmm audit`."""

    waive: dict[str, str] = {}  # noqa: RUF012 - pydantic copies it
    """Check that fails -> why it may. The audit records both; any other failure makes it end with status 1."""

    sites: tuple[str, ...] = ()
    """Subgroup columns that say where, or on what device, a study was made; where left out, those whose name says so."""
