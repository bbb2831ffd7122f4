"""Log lines on standard error: fixed texts with named fields, and never the text of an exception."""

import logging
import sys
import traceback
import warnings
from types import TracebackType

from cryptography.utils import CryptographyDeprecationWarning

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_OWN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}  # what every record has; the rest are its fields
# Libraries whose lower levels print what passes through them: URLs and headers of others, rows and parameters.
TELLTALES = ("httpcore2", "httpx2", "sqlalchemy")
SILENT = ("psycopg",)  # its warnings hold the server's texts, which quote rows; what fails is told by whoever asked for it
# Every key of an AMD chip is certified under serial number 0, which RFC 5280 forbids: nothing that an operator could mend.
AMD_SERIAL = "Parsed a serial number which wasn't positive"

_Caught = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class Formatter(logging.Formatter):
    """`LEVEL logger: text field=value …`. Of an exception it tells where and of which type; its text can hold content."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in vars(record).items() if name not in _OWN)
        return super().formatMessage(record) + fields

    def formatException(self, ei: _Caught) -> str:
        kind, _, where = ei
        return "".join(traceback.format_tb(where)) + (kind.__name__ if kind is not None else "")


def configure(level: str | None) -> None:
    """Log to standard error from `level` (OLLM_LOG) on; warnings if it is absent."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter())
    wanted = LEVELS.get(level.lower()) if level else logging.WARNING
    logging.basicConfig(level=wanted if wanted is not None else logging.WARNING, handlers=[handler])
    for name in TELLTALES:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", message=AMD_SERIAL, category=CryptographyDeprecationWarning)
    if wanted is None:
        logging.getLogger("ollm.cli").warning("OLLM_LOG is none of debug, info, warning, error; warnings are logged")
