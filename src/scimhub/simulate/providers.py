"""The providers by name."""

from typing import Literal

from scimhub.simulate.entra import COMPLIANCE_FLAG, ENTRA, ENTRA_COMPLIANT
from scimhub.simulate.google import GOOGLE
from scimhub.simulate.jumpcloud import JUMPCLOUD
from scimhub.simulate.okta import OKTA
from scimhub.simulate.onelogin import ONELOGIN
from scimhub.simulate.provider import Provider

Name = Literal["okta", "entra", "google", "onelogin", "jumpcloud"]

_BY_NAME: dict[Name, Provider] = {
    "okta": OKTA,
    "entra": ENTRA,
    "google": GOOGLE,
    "onelogin": ONELOGIN,
    "jumpcloud": JUMPCLOUD,
}
NAMES = tuple(_BY_NAME)


def find(name: Name, base_url: str = "") -> Provider:
    """The provider; Entra reads its compliance flag from the URL that the administrator gave."""
    if name == "entra" and COMPLIANCE_FLAG in base_url:
        return ENTRA_COMPLIANT
    return _BY_NAME[name]
