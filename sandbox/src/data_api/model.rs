//! What the service's model says of requests: members, lengths and choices.

use serde_json::{Map, Value};

use super::DataApiOperation;
use super::exception::Exception;

/// What a member may be.
#[derive(Clone, Copy)]
enum Shape {
    /// With its shortest and longest length, in characters.
    Text(usize, usize),
    Boolean,
    Long,
    /// JSON has no `NaN`, so that some come as text.
    Double,
    Choice(&'static [&'static str]),
    List(&'static Shape),
    Structure(&'static [Member]),
    /// A structure of which one member is there.
    Union(&'static [Member]),
}

#[derive(Clone, Copy)]
struct Member {
    name: &'static str,
    is_required: bool,
    shape: Shape,
}

const fn required(name: &'static str, shape: Shape) -> Member {
    let is_required = true;
    Member {
        name,
        is_required,
        shape,
    }
}

const fn optional(name: &'static str, shape: Shape) -> Member {
    let is_required = false;
    Member {
        name,
        is_required,
        shape,
    }
}

const ANY: Shape = Shape::Text(0, usize::MAX);
const RESOURCE: Member = required("resourceArn", Shape::Text(11, 570));
const SECRET: Member = required("secretArn", Shape::Text(11, 570));
const SQL: Member = required("sql", Shape::Text(0, 65_536));
const DATABASE: Member = optional("database", Shape::Text(0, 64));
const SCHEMA: Member = optional("schema", Shape::Text(0, 64));
const ID: Shape = Shape::Text(0, 192);

static ARRAY: [Member; 5] = [
    optional("booleanValues", Shape::List(&Shape::Boolean)),
    optional("longValues", Shape::List(&Shape::Long)),
    optional("doubleValues", Shape::List(&Shape::Double)),
    optional("stringValues", Shape::List(&ANY)),
    optional("arrayValues", Shape::List(&Shape::Union(&ARRAY))),
];

const FIELD: &[Member] = &[
    optional("isNull", Shape::Boolean),
    optional("booleanValue", Shape::Boolean),
    optional("longValue", Shape::Long),
    optional("doubleValue", Shape::Double),
    optional("stringValue", ANY),
    optional("blobValue", ANY),
    optional("arrayValue", Shape::Union(&ARRAY)),
];

const HINTS: &[&str] = &["JSON", "UUID", "TIMESTAMP", "DATE", "TIME", "DECIMAL"];

const PARAMETERS: Shape = Shape::List(&Shape::Structure(&[
    optional("name", ANY),
    optional("value", Shape::Union(FIELD)),
    optional("typeHint", Shape::Choice(HINTS)),
]));

const RESULT_SET_OPTIONS: Shape = Shape::Structure(&[
    optional(
        "decimalReturnType",
        Shape::Choice(&["STRING", "DOUBLE_OR_LONG"]),
    ),
    optional("longReturnType", Shape::Choice(&["STRING", "LONG"])),
]);

const EXECUTE: &[Member] = &[
    RESOURCE,
    SECRET,
    SQL,
    DATABASE,
    SCHEMA,
    optional("parameters", PARAMETERS),
    optional("transactionId", ID),
    optional("includeResultMetadata", Shape::Boolean),
    optional("continueAfterTimeout", Shape::Boolean),
    optional("resultSetOptions", RESULT_SET_OPTIONS),
    optional("formatRecordsAs", Shape::Choice(&["NONE", "JSON"])),
];

const BATCH: &[Member] = &[
    RESOURCE,
    SECRET,
    SQL,
    DATABASE,
    SCHEMA,
    optional("parameterSets", Shape::List(&PARAMETERS)),
    optional("transactionId", ID),
];

const BEGIN: &[Member] = &[RESOURCE, SECRET, DATABASE, SCHEMA];

const FINISH: &[Member] = &[RESOURCE, SECRET, required("transactionId", ID)];

/// Checks a request as the service does before it looks anything up. All that its lengths and
/// choices forbid is told at once.
pub(super) fn check(operation: DataApiOperation, request: &Value) -> Result<(), Exception> {
    let members = match operation {
        DataApiOperation::ExecuteStatement => EXECUTE,
        DataApiOperation::BatchExecuteStatement => BATCH,
        DataApiOperation::BeginTransaction => BEGIN,
        DataApiOperation::CommitTransaction | DataApiOperation::RollbackTransaction => FINISH,
    };
    let mut complaints = Vec::new();
    Shape::Structure(members).check("", request, &mut complaints)?;
    let plural = if complaints.len() == 1 { "" } else { "s" };
    match complaints.len() {
        0 => Ok(()),
        count => Err(Exception::validation(format!(
            "{count} validation error{plural} detected: {}",
            complaints.join("; ")
        ))),
    }
}

impl Shape {
    /// Collects what is forbidden; what cannot even be read is an error at once.
    fn check(self, at: &str, value: &Value, into: &mut Vec<String>) -> Result<(), Exception> {
        let mut complain = |what: String| into.push(constraint(at, &what));
        match (self, value) {
            (Self::Text(shortest, longest), Value::String(text)) => {
                let length = text.chars().count();
                let (relation, limit) = match length {
                    _ if length < shortest => ("greater", shortest),
                    _ if length > longest => ("less", longest),
                    _ => return Ok(()),
                };
                let what = "Member must have length";
                complain(format!("{what} {relation} than or equal to {limit}"));
            }
            (Self::Choice(known), Value::String(text)) => {
                if !known.contains(&text.as_str()) {
                    let known = known.join(", ");
                    complain(format!("Member must satisfy enum value set: [{known}]"));
                }
            }
            (Self::Boolean, Value::Bool(_)) | (Self::Double, Value::Number(_)) => {}
            (Self::Long, Value::Number(number)) if number.is_i64() => {}
            (Self::Double, Value::String(text))
                if matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") => {}
            (Self::List(element), Value::Array(values)) => {
                // The lists of an array's values may have holes.
                let is_sparse = !matches!(element, Self::Structure(_) | Self::List(_));
                let numbered = (1..).zip(values);
                for (position, value) in
                    numbered.filter(|(_, value)| !is_sparse || !value.is_null())
                {
                    element.check(&format!("{at}.{position}.member"), value, into)?;
                }
            }
            (Self::Structure(members), Value::Object(given)) => {
                check_members(at, members, given, into)?;
            }
            (Self::Union(members), Value::Object(given)) => {
                check_members(at, members, given, into)?;
                if given.values().filter(|value| !value.is_null()).count() > 1 {
                    into.push(constraint(at, "Member must have only one value set"));
                }
            }
            _ => return Err(Exception::serialization(&self.mismatch(value))),
        }
        Ok(())
    }

    fn mismatch(self, value: &Value) -> String {
        let found = match value {
            Value::Object(_) => {
                return "Start of structure or map found where not expected.".into();
            }
            Value::Array(_) => return "Start of list found where not expected.".into(),
            Value::Null => "null",
            Value::Bool(true) => "TRUE_VALUE",
            Value::Bool(false) => "FALSE_VALUE",
            Value::Number(number) if number.is_f64() => "DECIMAL_VALUE",
            Value::Number(_) => "NUMBER_VALUE",
            Value::String(_) => "STRING_VALUE",
        };
        let wanted = match self {
            Self::Text(..) | Self::Choice(_) => "a String",
            Self::Boolean => "a Boolean",
            Self::Long => "a Long",
            Self::Double => "a Double",
            Self::List(_) => "a list",
            Self::Structure(_) | Self::Union(_) => "a structure",
        };
        format!("{found} can not be converted to {wanted}")
    }
}

fn check_members(
    at: &str,
    members: &[Member],
    given: &Map<String, Value>,
    into: &mut Vec<String>,
) -> Result<(), Exception> {
    let path = |name: &str| match at {
        "" => name.to_owned(),
        at => format!("{at}.{name}"),
    };
    for member in members {
        match given.get(member.name) {
            None | Some(Value::Null) if member.is_required => {
                into.push(constraint(&path(member.name), "Member must not be null"));
            }
            None | Some(Value::Null) => {}
            Some(value) => member.shape.check(&path(member.name), value, into)?,
        }
    }
    let is_known = |name: &&String| members.iter().any(|member| member.name == name.as_str());
    for name in given.keys().filter(|name| !is_known(name)) {
        into.push(constraint(&path(name), "Member must be of the model"));
    }
    Ok(())
}

fn constraint(at: &str, what: &str) -> String {
    format!("Value at '{at}' failed to satisfy constraint: {what}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn execute(more: Value) -> Result<(), Exception> {
        let mut request = json!({
            "resourceArn": "arn:aws:rds:a",
            "secretArn": "arn:aws:secretsmanager:a",
            "sql": "SELECT 1",
        });
        let more = more.as_object().unwrap().clone();
        request.as_object_mut().unwrap().extend(more);
        check(DataApiOperation::ExecuteStatement, &request)
    }

    fn refused(at: &str, what: &str) -> Result<(), Exception> {
        let text = format!("1 validation error detected: {}", constraint(at, what));
        Err(Exception::validation(text))
    }

    #[test]
    fn what_the_model_allows_passes() {
        let value = |value: Value| json!({ "parameters": [{ "name": "a", "value": value }] });
        for more in [
            json!({}),
            json!({ "database": null, "sql": "é".repeat(65_536) }),
            value(json!({ "isNull": true })),
            value(json!({ "doubleValue": 1 })),
            value(json!({ "doubleValue": "NaN" })),
            value(json!({ "arrayValue": { "longValues": [1, null] } })),
            value(json!({ "longValue": i64::MIN, "stringValue": null })),
            json!({ "resultSetOptions": { "longReturnType": "STRING" } }),
        ] {
            assert_eq!(execute(more.clone()), Ok(()), "{more}");
        }
    }

    #[test]
    fn lengths_end_where_the_model_says() {
        let less = |limit| format!("Member must have length less than or equal to {limit}");
        for (name, longest) in [
            ("sql", 65_536),
            ("database", 64),
            ("schema", 64),
            ("transactionId", 192),
            ("resourceArn", 570),
            ("secretArn", 570),
        ] {
            let of = |length: usize| json!({ name: "x".repeat(length) });
            assert_eq!(execute(of(longest)), Ok(()), "{name}");
            assert_eq!(execute(of(longest + 1)), refused(name, &less(longest)));
        }
        let greater = "Member must have length greater than or equal to 11";
        let short = execute(json!({ "resourceArn": "0123456789" }));
        assert_eq!(short, refused("resourceArn", greater));
    }

    #[test]
    fn what_the_model_does_not_know_is_refused_by_its_path() {
        for (more, at, what) in [
            (json!({ "sql": null }), "sql", "Member must not be null"),
            (
                json!({ "parameterSets": [] }),
                "parameterSets",
                "Member must be of the model",
            ),
            (
                json!({ "formatRecordsAs": "CSV" }),
                "formatRecordsAs",
                "Member must satisfy enum value set: [NONE, JSON]",
            ),
            (
                json!({ "parameters": [{ "name": "a", "value": { "intValue": 1 } }] }),
                "parameters.1.member.value.intValue",
                "Member must be of the model",
            ),
            (
                json!({ "parameters": [{ "value": { "longValue": 1, "isNull": true } }] }),
                "parameters.1.member.value",
                "Member must have only one value set",
            ),
        ] {
            assert_eq!(execute(more), refused(at, what));
        }
    }

    #[test]
    fn what_is_missing_is_told_at_once() {
        let message = "3 validation errors detected: \
            Value at 'resourceArn' failed to satisfy constraint: Member must not be null; \
            Value at 'secretArn' failed to satisfy constraint: Member must not be null; \
            Value at 'transactionId' failed to satisfy constraint: Member must not be null";
        for operation in [
            DataApiOperation::CommitTransaction,
            DataApiOperation::RollbackTransaction,
        ] {
            let refused = check(operation, &json!({}));
            assert_eq!(refused, Err(Exception::validation(message)));
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_constraint() {
        for (more, message) in [
            (
                json!({ "sql": 1 }),
                "NUMBER_VALUE can not be converted to a String",
            ),
            (
                json!({ "sql": ["SELECT 1"] }),
                "Start of list found where not expected.",
            ),
            (
                json!({ "includeResultMetadata": "true" }),
                "STRING_VALUE can not be converted to a Boolean",
            ),
            (
                json!({ "parameters": [{ "value": { "longValue": 1.5 } }] }),
                "DECIMAL_VALUE can not be converted to a Long",
            ),
            (
                json!({ "parameters": [null] }),
                "null can not be converted to a structure",
            ),
        ] {
            assert_eq!(execute(more), Err(Exception::serialization(message)));
        }
    }
}
