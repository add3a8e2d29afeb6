"""Auth events and users as the JSON members of an answer; what is None is left out."""

from typing import Any

from exporter.event.event import AuthEvent, Context, Feedback, Risk
from exporter.simulator.world import User

Answer = dict[str, Any]
"""The JSON object of an answer, or a structure in it."""


def wire_event(event: AuthEvent) -> Answer:
    """Return an `AuthEventType`."""
    return _present(
        {
            "EventId": event.event_id,
            "EventType": event.event_type,
            "CreationDate": event.created.timestamp(),
            "EventResponse": event.response,
            "EventRisk": event.risk and _risk(event.risk),
            "ChallengeResponses": [
                _present({"ChallengeName": one.name, "ChallengeResponse": one.response}) for one in event.challenges
            ],
            "EventContextData": event.context and _context(event.context),
            "EventFeedback": event.feedback and _feedback(event.feedback),
        }
    )


def _risk(risk: Risk) -> Answer:
    return _present(
        {
            "RiskDecision": risk.decision,
            "RiskLevel": risk.level,
            "CompromisedCredentialsDetected": risk.compromised_credentials,
        }
    )


def _context(context: Context) -> Answer:
    return _present(
        {
            "IpAddress": context.ip_address,
            "DeviceName": context.device_name,
            "Timezone": context.timezone,
            "City": context.city,
            "Country": context.country,
        }
    )


def _feedback(feedback: Feedback) -> Answer:
    return _present(
        {
            "FeedbackValue": feedback.value,
            "Provider": feedback.provider,
            "FeedbackDate": feedback.date and feedback.date.timestamp(),
        }
    )


def wire_user(user: User) -> Answer:
    """Return a `UserType`."""
    attributes = {"sub": user.sub, **user.attributes}
    return {
        "Username": user.username,
        "Attributes": [{"Name": name, "Value": value} for name, value in attributes.items()],
        "UserCreateDate": user.created,
        "UserLastModifiedDate": user.created,
        "Enabled": user.enabled,
        "UserStatus": user.status,
    }


def _present(members: Answer) -> Answer:
    return {name: value for name, value in members.items() if value is not None}
