"""Collateral: what vendors publish about their hardware, fetched by us, cached, stored and carried to closed networks.

`cache` stands in front of all; `pcs`, `kds`, `nvidia`, `nras` know one vendor's service each; `endorser` puts together what one machine
needs. `shelf` is the directory that outlives the process, `archive` the file that is carried.
"""

from ollm.net.collateral.asking import Asker
from ollm.net.collateral.cache import CollateralCache
from ollm.net.collateral.pcs import PcsCollateral
from ollm.net.collateral.shelf import Shelf

__all__ = ["Asker", "CollateralCache", "PcsCollateral", "Shelf"]
