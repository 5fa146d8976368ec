//! What a client says over a socket: one JSON object a message, told apart by `type`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::write_side::Said;

/// A client's message.
#[derive(Debug)]
pub(super) enum Message {
    /// `{"type":"event","event":{…}}` and `{"type":"like","count":3}`.
    Say(Said),
    /// `{"type":"auth","token":…}`.
    Auth(String),
}

#[derive(Deserialize)]
struct Fields<'m> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'m, str>,
    #[serde(borrow)]
    event: Option<&'m RawValue>,
    #[serde(borrow)]
    count: Option<&'m RawValue>,
    #[serde(borrow)]
    token: Option<Cow<'m, str>>,
}

/// Reads a message; what it should have been where it is none. Whether what is said is valid is the
/// write side's to say.
pub(super) fn parse(text: &str) -> Result<Message, &'static str> {
    let fields: Fields<'_> =
        serde_json::from_str(text).map_err(|_| "a message is an object with a type")?;
    match (&*fields.kind, fields.event, fields.count, fields.token) {
        ("event", Some(event), _, _) if event.get().starts_with('{') => {
            Ok(Message::Say(Said::Event(event.get().to_owned())))
        }
        ("event", ..) => Err("an event message has an event"),
        ("like", _, Some(count), _) => {
            let body = format!("{{\"count\":{count}}}");
            Ok(Message::Say(Said::Likes(body)))
        }
        ("like", ..) => Err("a like message has a count"),
        ("auth", _, _, Some(token)) => Ok(Message::Auth(token.into_owned())),
        ("auth", ..) => Err("an auth message has a token"),
        _ => Err("a message is an event, a like or an auth"),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn messages_are_told_apart_by_their_type() {
        let told: Vec<_> = [
            r#"{"type":"event","event":{"kind":"comment"}}"#,
            r#"{"type":"event","event":[1]}"#,
            r#"{"type":"event"}"#,
            r#"{"count":3.0,"type":"like"}"#,
            r#"{"type":"like"}"#,
            r#"{"type":"\u0061uth","token":"a\tb"}"#,
            r#"{"type":"auth","token":1}"#,
            r#"{"type":"ping"}"#,
            r#"{}"#,
            r#"[]"#,
            "hello",
        ]
        .map(|text| match parse(text) {
            Ok(message) => format!("{message:?}\n"),
            Err(why) => format!("{why}\n"),
        })
        .into();
        expect![[r#"
            Say(Event("{\"kind\":\"comment\"}"))
            an event message has an event
            an event message has an event
            Say(Likes("{\"count\":3.0}"))
            a like message has a count
            Auth("a\tb")
            a message is an object with a type
            a message is an event, a like or an auth
            a message is an object with a type
            a message is an object with a type
            a message is an object with a type
        "#]]
        .assert_eq(&told.concat());
    }
}
