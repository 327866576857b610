"""Who calls: from an access token to a `Caller`, at once where the token was seen before."""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mooring.accounts.jwks import TrustedIssuer
from mooring.accounts.tokens import FORGED, ISSUER, AccessTokens, Claimed, claimed
from mooring.accounts.users import user_of_issuer
from mooring.clock import Clock
from mooring.db.pool import Database
from mooring.errors import NotSignedIn

MOST_REMEMBERED = 10_000
# Role and plan of another issuer's user are our row's: what an admin changes there counts after this long,
# and so does a key that the issuer withdrew. Our own tokens carry both, and say so until they expire.
THEIRS_REMEMBERED = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Caller:
    user_id: int
    is_admin: bool
    plan: str
    expires_at: datetime | None = field(default=None, compare=False)  # of the token: nothing it opened lasts longer


@dataclass(frozen=True, slots=True)
class Callers:
    db: Database
    tokens: AccessTokens
    clock: Clock
    issuer: TrustedIssuer | None = None
    remembered: OrderedDict[str, tuple[Caller, datetime]] = field(default_factory=OrderedDict, repr=False)

    def recall(self, token: str) -> Caller | None:
        """A token verified before, while it lasts; None says nothing: ask `admit`. The hot path."""
        known = self.remembered.get(token)
        if known is None:
            return None
        if known[1] > self.clock():
            return known[0]
        del self.remembered[token]
        return None

    async def admit(self, token: str) -> Caller:
        """Verifies. `NotSignedIn` says why not."""
        claim = claimed(token)
        at = self.clock()
        if claim.issuer == ISSUER:
            caller, until = self._ours(token, claim, at)
        elif self.issuer is not None and claim.issuer == self.issuer.issuer:
            caller, until = await self._theirs(self.issuer, token, claim, at)
        else:
            raise NotSignedIn("The access token is of an issuer that is not trusted here.")
        if len(self.remembered) >= MOST_REMEMBERED:
            self.remembered.popitem(last=False)
        self.remembered[token] = caller, until
        return caller

    def _ours(self, token: str, claim: Claimed, at: datetime) -> tuple[Caller, datetime]:
        if claim.alg != "HS256":
            raise NotSignedIn(FORGED)
        proven = self.tokens.verify(token, at)
        return Caller(proven.user_id, proven.role == "admin", proven.plan, proven.expires_at), proven.expires_at

    async def _theirs(self, issuer: TrustedIssuer, token: str, claim: Claimed, at: datetime) -> tuple[Caller, datetime]:
        proven = await issuer.verify(token, claim, at)
        user = await user_of_issuer(self.db, issuer.issuer, proven.subject, at)
        if not user.is_active:
            raise NotSignedIn("This account was deactivated.")
        caller = Caller(user.id, user.role == "admin", user.plan, proven.expires_at)
        return caller, min(proven.expires_at, at + THEIRS_REMEMBERED)
