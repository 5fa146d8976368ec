//! Shapes of JSON: the words in which schemas are written.

use std::ops::RangeInclusive;

use serde_json::Value;
use utoipa::openapi::schema::{
    AnyOfBuilder, ArrayBuilder, KnownFormat, Object, ObjectBuilder, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr, Schema};

use super::AnySchema;
use crate::ids::RoomId;
use crate::problem::ProblemType;

/// What no text but a comment holds: control characters and bidirectional overrides.
const PLAIN: &str = r"^[^\u0000-\u001f\u007f-\u009f\u202d\u202e]*$";
/// A cursor. The numbers are shorter than they could be, which keeps a pattern from counting.
const CURSOR: &str = "^(0|[1-9][0-9]{0,8}:(0|[1-9][0-9]{0,17}))$";

/// An object, field by field.
pub struct Fields(ObjectBuilder);

impl Fields {
    /// An object that is `description`.
    pub fn of(description: &str) -> Self {
        let object = ObjectBuilder::new().schema_type(Type::Object);
        Self(object.description(described(description)))
    }

    /// A field that is always there.
    pub fn need(self, name: &str, schema: impl Into<AnySchema>) -> Self {
        Self(self.0.property(name, schema).required(name))
    }

    /// A field that may be left out.
    pub fn may(self, name: &str, schema: impl Into<AnySchema>) -> Self {
        Self(self.0.property(name, schema))
    }

    /// The fields that `more` adds.
    pub fn with(self, more: impl FnOnce(Self) -> Self) -> Self {
        more(self)
    }

    /// The schema.
    pub fn end(self) -> AnySchema {
        self.0.into()
    }
}

/// A schema of the document, by its name.
pub fn reference(name: &str) -> AnySchema {
    Ref::from_schema_name(name).into()
}

/// The schemas that both sides refer to.
pub fn shared() -> [(&'static str, AnySchema); 5] {
    [
        ("RoomName", room_name().into()),
        ("Cursor", cursor().into()),
        ("EventId", id("An event's identity, a UUID.").into()),
        ("Problem", problem()),
        ("FieldError", field_error()),
    ]
}

fn problem() -> AnySchema {
    let urns = ProblemType::ALL.map(ProblemType::urn);
    Fields::of("Why a request is not answered (RFC 9457).")
        .need("type", word("Which problem: stable.", &urns))
        .need("title", text("What the type means, for people."))
        .need("status", integer("The HTTP status.", 400..=599))
        .may("detail", text("What happened this time."))
        .may(
            "errors",
            list(
                "Every bad field, where events were sent.",
                reference("FieldError"),
            ),
        )
        .may("cursor", reference("Cursor"))
        .may(
            "retry_after_s",
            integer(
                "In streams and sockets: seconds until one may try again. Elsewhere the header tells.",
                0..=i64::from(u32::MAX),
            ),
        )
        .end()
}

fn field_error() -> AnySchema {
    Fields::of("What is wrong with one field of one event.")
        .need(
            "index",
            integer(
                "The event's place in the array; 0 for a single one.",
                0..=i64::MAX,
            ),
        )
        .need(
            "field",
            text("The field, nested ones with a dot: `user.id`."),
        )
        .need("reason", text("What is wrong."))
        .end()
}

/// A room's name.
pub fn room_name() -> Object {
    let pattern = format!("^[A-Za-z0-9][A-Za-z0-9._-]{{0,{}}}$", RoomId::LEN_MAX - 1);
    string("A room's name.")
        .pattern(Some(pattern))
        .examples(["demo"])
        .build()
}

/// A cursor: what a client has of a room.
pub fn cursor() -> Object {
    string("The last event that a client has: opaque, `0` before the first.")
        .pattern(Some(CURSOR))
        .examples(["1:42"])
        .build()
}

/// A UUID.
pub fn id(description: &str) -> Object {
    string(description)
        .format(Some(SchemaFormat::Custom("uuid".to_owned())))
        .build()
}

/// Any text.
pub fn text(description: &str) -> Object {
    string(description).build()
}

/// A text without a name or a description.
pub(super) fn plain() -> AnySchema {
    string("").into()
}

/// A text of so many characters, none of which is a control character or a bidirectional override.
pub fn name(description: &str, chars: RangeInclusive<usize>) -> Object {
    string(description)
        .min_length((*chars.start() > 0).then_some(*chars.start()))
        .max_length(Some(*chars.end()))
        .pattern(Some(PLAIN))
        .build()
}

/// One of these words.
pub fn word(description: &str, words: &[&str]) -> Object {
    string(description)
        .enum_values(Some(words.iter().copied()))
        .build()
}

/// A whole number.
pub fn integer<N: Into<utoipa::Number> + Copy>(
    description: &str,
    range: RangeInclusive<N>,
) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .description(described(description))
        .minimum(Some(*range.start()))
        .maximum(Some(*range.end()))
        .build()
}

/// An event's number in its room.
pub fn seq(description: &str) -> Object {
    integer(description, 1..=i64::MAX)
}

/// A moment: milliseconds since 1970 UTC.
pub fn moment(description: &str) -> Object {
    /// The end of the year 9999.
    const MOMENT_MAX: i64 = 253_402_300_799_999;
    let description = format!("{description} In milliseconds since 1970 UTC.");
    integer(&description, 0..=MOMENT_MAX)
}

/// True or false.
pub fn boolean(description: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .description(described(description))
        .build()
}

/// A list.
pub fn list(description: &str, of: impl Into<AnySchema>) -> ArrayBuilder {
    ArrayBuilder::new()
        .description(described(description))
        .items(of.into())
}

/// String to string, passed through: avatars, badges, fonts.
pub fn ext(len_max: Option<usize>) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Passed through as it is; 1 KiB in all."))
        .max_properties(len_max)
        .additional_properties(Some(plain()))
        .build()
}

/// A number by a name that is not ours.
pub fn map_of_numbers(description: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(described(description))
        .additional_properties(Some(AnySchema::from(integer("", i64::MIN..=i64::MAX))))
        .build()
}

/// One of these shapes, or several.
pub fn any_of(description: &str, shapes: impl IntoIterator<Item = AnySchema>) -> AnySchema {
    let any = AnyOfBuilder::new().description(described(description));
    shapes
        .into_iter()
        .fold(any, |any, shape| any.item(shape))
        .into()
}

/// Nothing else than `null`.
pub fn null() -> AnySchema {
    ObjectBuilder::new().schema_type(Type::Null).into()
}

/// The same, or `null`: what a request may also say for a field that it leaves out.
pub fn nullable(schema: impl Into<AnySchema>) -> AnySchema {
    let mut schema = schema.into();
    if let RefOr::T(Schema::Object(object)) = &mut schema
        && let SchemaType::Type(plain) = &object.schema_type
    {
        object.schema_type = SchemaType::Array(vec![plain.clone(), Type::Null]);
        if let Some(words) = &mut object.enum_values {
            words.push(Value::Null);
        }
        return schema;
    }
    any_of("", [schema, null()])
}

fn string(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(described(description))
}

fn described(description: &str) -> Option<&str> {
    (!description.is_empty()).then_some(description)
}
