//! The steps that are no plugin's: `wait/timer`, `wait/event` and `wait/approval`. Their inputs and
//! outputs have schemas as a plugin's have, so that they are checked the same way.

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::{ActionKind, ActionSpec, Manifest};

/// The name in the place of a plugin's: `uses: wait/timer`. No plugin may have it.
pub const BUILT_IN: &str = "wait";

/// The built-in steps, as a plugin would describe them.
#[must_use]
pub fn built_in() -> &'static Manifest {
    static MANIFEST: OnceLock<Manifest> = OnceLock::new();
    MANIFEST.get_or_init(|| Manifest {
        id: BUILT_IN.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        summary: "Waits, for days if it must; a run that waits holds nothing but rows.".to_owned(),
        actions: vec![timer(), event(), approval()],
    })
}

fn timer() -> ActionSpec {
    action(
        "timer",
        "Goes on after some time, or at a moment.",
        json!({
            "type": "object",
            "properties": {
                "for": duration("How long: `90s`, `2h`, `1h30m` or `3d`."),
                "until": {
                    "type": "string", "minLength": 1,
                    "description": "The moment, in RFC 3339: `2026-11-30T08:00:00+01:00`."
                }
            },
            "oneOf": [{"required": ["for"]}, {"required": ["until"]}],
            "additionalProperties": false
        }),
        json!({
            "type": "object",
            "properties": {"at": {"type": "string", "description": "When it went on."}},
            "required": ["at"],
            "additionalProperties": false
        }),
    )
}

fn event() -> ActionSpec {
    action(
        "event",
        "Goes on when the run is told of an event; what came with it is the output.",
        json!({
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 200},
                "deadline": duration("How long to wait at most; the step fails then.")
            },
            "required": ["name"],
            "additionalProperties": false
        }),
        json!({}),
    )
}

fn approval() -> ActionSpec {
    action(
        "approval",
        "Goes on when somebody has approved or rejected; ask the output which.",
        json!({
            "type": "object",
            "properties": {
                "message": {"type": "string", "minLength": 1},
                "approvers": {
                    "description": "Who should decide, in words.",
                    "oneOf": [
                        {"type": "string"}, {"type": "array", "items": {"type": "string"}}
                    ]
                },
                "deadline": duration("How long to wait at most; the step fails then.")
            },
            "required": ["message"],
            "additionalProperties": false
        }),
        json!({
            "type": "object",
            "properties": {
                "approved": {"type": "boolean"},
                "by": {"type": "string"},
                "comment": {"type": "string"},
                "at": {"type": "string", "description": "When, in RFC 3339."}
            },
            "required": ["approved", "by", "comment", "at"],
            "additionalProperties": false
        }),
    )
}

fn duration(description: &str) -> Value {
    json!({
        "type": "string", "description": description,
        "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$", "minLength": 2
    })
}

fn action(name: &str, summary: &str, input: Value, output: Value) -> ActionSpec {
    ActionSpec {
        name: name.to_owned(),
        kind: ActionKind::Action,
        summary: summary.to_owned(),
        input,
        output,
        requests: Vec::new(),
        scopes: Vec::new(),
        examples: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_schemas_that_say_what_they_mean() {
        let action = |name| built_in().action(name).expect("a built-in step");
        let is_valid = |name, input: &Value| {
            jsonschema::validator_for(&action(name).input)
                .expect("a schema")
                .is_valid(input)
        };
        for (name, input, expected) in [
            ("timer", json!({"for": "3d"}), true),
            ("timer", json!({"for": "1h30m"}), true),
            ("timer", json!({"for": "soon"}), false),
            ("timer", json!({"for": "1h", "until": "x"}), false),
            ("timer", json!({}), false),
            ("event", json!({"name": "signed", "deadline": "2d"}), true),
            ("event", json!({"deadline": "2d"}), false),
            ("approval", json!({"message": "m", "approvers": "a"}), true),
            (
                "approval",
                json!({"message": "m", "approvers": ["a", "b"]}),
                true,
            ),
            ("approval", json!({"message": ""}), false),
        ] {
            assert_eq!(is_valid(name, &input), expected, "{name} {input}");
        }
    }
}
