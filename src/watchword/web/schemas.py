"""What goes over the wire. Unknown fields change nothing; no answer echoes an input."""

from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(max_length=4096)]


class Body(BaseModel):
    """A JSON body of ours: what it does not name is ignored, and changes nothing."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore", hide_input_in_errors=True)


class LoginForm(Body):
    """The OAuth2 password form. RFC 6749 4.3.2. Over-long credentials are refused as wrong ones are, so not here."""

    grant_type: Annotated[str, Field(pattern="^password$", description="`password`, or left out")] = "password"
    username: Annotated[str, Field(description="an email address or a username")]
    password: Annotated[str, Field(json_schema_extra={"format": "password"})]
    scope: Annotated[Text, Field(description="space-separated; empty asks for all that the user may have")] = ""


class RefreshForm(Body):
    """RFC 6749 6."""

    grant_type: Annotated[Text, Field(description="`refresh_token`")]
    refresh_token: Text
    scope: Annotated[Text, Field(description="space-separated; may only narrow what was granted")] = ""
    client_id: Annotated[Text | None, Field(description="may be left out; one that is named has to be the token's")] = (
        None
    )


class LogoutForm(Body):
    """The refresh token, where the access token has expired already."""

    refresh_token: Annotated[Text | None, Field(description="needed once the access token has expired")] = None


class TokenAnswer(BaseModel):
    """RFC 6749 5.1. `expires_in` is in seconds."""

    access_token: str
    token_type: str = "bearer"
    expires_in: int
    refresh_token: str
    scope: str


class RegisterBody(Body):
    """A new account."""

    email: Text
    password: Text
    username: Text | None = None


class Accepted(BaseModel):
    """The one answer to a registration, whether or not the address was free."""

    detail: str = "If this address was free, the account is there. You can sign in now."


ON_ITS_WAY = (
    "If this address was free, a mail with a link is on its way there. The account counts once the link was opened."
)


class MailAsked(BaseModel):
    """The one answer to whoever asks for a mail, whether or not one goes out."""

    detail: str = "If this is right, a mail is on its way."


class EmailBody(Body):
    """An address."""

    email: Text


class TokenBody(Body):
    """What stood behind the `#` of a mailed link."""

    token: Text


class ResetBody(TokenBody):
    """The link's token, and the password to be."""

    new_password: Text


class UsernameBody(Body):
    """The username to be."""

    username: Text


class PasswordBody(Body):
    """The password in use."""

    password: Text


class Agreed(BaseModel):
    """One address has agreed to a change of address; `changed` says whether the account has the new one now."""

    changed: bool


class DeletionPlannedAnswer(BaseModel):
    """When the account will be deleted; null where it is gone already. Signing in before keeps it."""

    deletes_at: datetime | None


class FreshAnswer(BaseModel):
    """An access token whose `auth_time` is now. The refresh token stays as it is. `expires_in` is in seconds."""

    access_token: str
    token_type: str = "bearer"
    expires_in: int
    scope: str


class MePatch(Body):
    """What the owner changes; what is left out stays as it is."""

    language: Annotated[Text | None, Field(description="of mails: en, ko, …")] = None
    profile: Annotated[
        dict[str, Any] | None,
        Field(description="the application's own fields; those that are left out stay as they are"),
    ] = None


class ChangePasswordBody(Body):
    """The password in use, and the one to be."""

    current_password: Text
    new_password: Text


class Me(BaseModel):
    """Whoever is signed in."""

    user_id: str
    email: str
    username: str | None
    scopes: Annotated[list[str], Field(description="what the token of this request carries")]
    session_id: str
    created_at: datetime
    email_verified: Annotated[bool, Field(description="a link that was mailed to the address came back")] = False
    language: str | None = None
    profile: dict[str, Any] = {}


class SessionAnswer(BaseModel):
    """A login on one device."""

    id: str
    device: str
    ip: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: Annotated[bool, Field(description="the session of this very request")]


class EventAnswer(BaseModel):
    """Something that happened."""

    number: int
    at: datetime
    kind: Annotated[str, Field(description="a class of watchword.events")]
    user_id: str | None
    facts: Annotated[dict[str, Any], Field(description="what else the event says")]
    ip: Annotated[str | None, Field(description="where the request came from")]
    user_agent: str | None


class EventsAnswer(BaseModel):
    """Some events, the newest first."""

    events: list[EventAnswer]
    before: Annotated[int | None, Field(description="ask with this for those before them; null where there are none")]


Words = Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=64)]


class NewUserBody(Body):
    """An account that an administrator makes."""

    email: Text
    username: Text | None = None
    new_password: Annotated[Text | None, Field(description="left out: the owner asks for a link to one")] = None
    scopes: Words = []


class ScopesBody(Body):
    """Exactly the scopes that are granted directly."""

    scopes: Words


class RoleBody(Body):
    """What a role gives."""

    scopes: Words
    description: Annotated[Text | None, Field(description="for people; left out: it stays")] = None


class UserAnswer(BaseModel):
    """An account, as administrators see it."""

    id: str
    email: str
    username: str | None
    scopes: Annotated[list[str], Field(description="what the user may do, all in all")]
    granted: Annotated[list[str], Field(description="of that, what was granted directly")]
    roles: list[str]
    disabled: bool
    created_at: datetime
    email_verified: bool
    deletes_at: Annotated[datetime | None, Field(description="when the account goes, as its owner wants")]


class UsersAnswer(BaseModel):
    """A page of accounts, in the order of their addresses."""

    users: list[UserAnswer]
    after: Annotated[str | None, Field(description="where the next page begins; null behind the last one")]


class RoleAnswer(BaseModel):
    """A role."""

    name: str
    scopes: list[str]
    description: str


class RoleShown(RoleAnswer):
    """A role, and a page of those who have it."""

    members: Annotated[list[str], Field(description="the ids of users")]
    after: Annotated[str | None, Field(description="where the next page begins; null behind the last one")]


class SigningKeyAnswer(BaseModel):
    """A signing key; nothing of it is secret."""

    kid: str
    alg: str
    generation: int
    state: str
    created_at: datetime
    signs_from: datetime
    verifies_until: Annotated[datetime | None, Field(description="null while that is not decided")]
    retired_at: datetime | None


class RotatedAnswer(BaseModel):
    """The signing key that comes next."""

    key: SigningKeyAnswer
    made: Annotated[bool, Field(description="false: one was waiting already, and no other was made")]


class WaitingMail(BaseModel):
    """A mail that was not delivered yet. What it says is not told."""

    id: str
    kind: str
    recipient: str
    queued_at: datetime
    due_at: Annotated[datetime, Field(description="when it is tried next")]
    until: Annotated[datetime, Field(description="after that nobody tries any more")]
    attempts: int
    because: Annotated[str | None, Field(description="why the last attempt failed")]


class OutboxAnswer(BaseModel):
    """A page of waiting mails, in the order of their ids."""

    mails: list[WaitingMail]
    after: Annotated[str | None, Field(description="where the next page begins; null behind the last one")]


class Problem(BaseModel):
    """RFC 9457. `code` is stable; `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    fields: Annotated[dict[str, str] | None, Field(description="what is wrong with each field")] = None


class OAuthError(BaseModel):
    """RFC 6749 5.2."""

    error: str
    error_description: str
    error_uri: str
