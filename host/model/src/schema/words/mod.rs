//! The words of Docket's files: every key that a mapping may have, what it means, and what may stand
//! behind it.
//!
//! The reader takes the keys that it knows from here, and the JSON Schemas are made of the same rows,
//! so that neither can have a word that the other has not. A mapping of words cannot be made anywhere
//! else. To add a word, add its row; to add a mapping, add a `static` and name it in the row that it
//! stands behind. The tests hold that every mapping is reached and that every word is read.

mod project;
mod suite;
mod workflow;

use serde_json::Value;

use crate::ActionKind;

pub(crate) use project::{
    CONNECTION, LIMITS, PLUGIN, PROJECT, PROVIDER, SIGN_IN_HOOK, SIGN_IN_MAIL, SIGN_IN_WEBHOOK,
    SIGNATURES,
};
pub(crate) use suite::{
    ATTACHMENT, CASE, EXPECTED, EXPECTED_ATTACHMENT, EXPECTED_FAILURE, EXPECTED_MAIL, FAULT, MAIL,
    SENDER, STATE, SUITE, TOLD, failure_classes, fault_kinds,
};
pub(crate) use workflow::{
    CONCURRENCY, FOR_PLUGINS, INPUT, MANUAL, ON_SIGN_IN_NEEDED, RETRY, SCHEDULE, SOURCE, STEP,
    TRIGGERS, WEBHOOK, WORKFLOW, input_types,
};

/// What the names of steps, inputs, connections and plugins look like.
pub(crate) const NAME: &str = "^[A-Za-z]([A-Za-z0-9_]|-[A-Za-z0-9])*$";
/// The longest such name.
pub(crate) const LONGEST_NAME: usize = 64;
/// What addresses look like.
const ADDRESS: &str = r"^[^@\s/]+@[^@\s/]+$";

/// The words of a mapping.
pub(crate) struct Words {
    /// What its schema is called.
    pub(crate) name: &'static str,
    rows: &'static [Word],
    /// What holds between its words, as a schema.
    rules: Option<fn() -> Value>,
}

/// A word: a key and what may stand behind it.
pub(crate) struct Word {
    pub(crate) name: &'static str,
    /// What it means, for people who write it.
    pub(crate) about: &'static str,
    pub(crate) form: Form,
    pub(crate) is_required: bool,
}

/// What may stand behind a word.
pub(crate) enum Form {
    /// Text that is not empty.
    Text,
    /// One line of so many characters at most.
    Line(usize),
    /// Text that matches a pattern.
    Pattern(&'static str),
    /// `true` or `false`.
    Boolean,
    /// A whole number of a range.
    Whole(u32, u32),
    /// `500ms`, `30s`, `1h30m`, `3d`.
    Duration,
    /// One of a few words.
    OneOf(&'static [&'static str]),
    /// One of a few words that are listed elsewhere.
    Listed(fn() -> Vec<&'static str>),
    /// True, false, or one whole expression.
    Condition,
    /// A list, or one whole expression.
    Items,
    /// A value with expressions in it, wherever one likes.
    Value,
    /// Any data, without expressions.
    Data,
    /// A list.
    List(&'static Self),
    /// A mapping of words.
    Mapping(&'static Words),
    /// A mapping with exactly one of its words.
    One(&'static Words),
    /// A mapping with names of one's own choice, of this pattern.
    Named(&'static str, &'static Self),
    /// Any of these.
    Either(&'static [Self]),
    /// Nothing at all: the word alone.
    Nothing,
    /// A list of steps.
    Steps,
    /// An action of a plugin, of this kind. `with` stands beside it.
    Uses(ActionKind),
    /// The input of the action that the same step names.
    With,
    /// A connection of the project.
    Connection,
    /// A connection for each plugin.
    Connections,
}

impl Words {
    /// The words.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &'static Word> + Clone {
        self.rows.iter()
    }

    /// The names of the words.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.rows().map(|word| word.name)
    }

    /// What holds between the words, as a schema.
    pub(crate) fn rules(&self) -> Option<Value> {
        self.rules.map(|rules| rules())
    }
}

const fn word(name: &'static str, form: Form, about: &'static str) -> Word {
    Word {
        name,
        about,
        form,
        is_required: false,
    }
}

impl Word {
    /// The same, and it must not be left out.
    const fn required(self) -> Self {
        Self {
            is_required: true,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn all(words: &'static Words, found: &mut Vec<&'static Words>) {
        fn inside(form: &'static Form, found: &mut Vec<&'static Words>) {
            match form {
                Form::Mapping(words) | Form::One(words) => all(words, found),
                Form::List(form) | Form::Named(_, form) => inside(form, found),
                Form::Either(forms) => forms.iter().for_each(|form| inside(form, found)),
                Form::Steps => all(&STEP, found),
                _ => {}
            }
        }
        if found.iter().all(|known| known.name != words.name) {
            found.push(words);
            words.rows().for_each(|word| inside(&word.form, found));
        }
    }

    fn every() -> Vec<&'static Words> {
        let mut found = Vec::new();
        for root in [&WORKFLOW, &PROJECT, &SUITE] {
            all(root, &mut found);
        }
        found
    }

    /// A mapping that is read but stands behind no word would be missing in the schemas.
    #[test]
    fn every_mapping_is_reached() {
        let found: BTreeSet<&str> = every().iter().map(|words| words.name).collect();
        let sources = [
            include_str!("workflow.rs"),
            include_str!("project.rs"),
            include_str!("suite.rs"),
        ];
        let made: BTreeSet<&str> = sources
            .iter()
            .flat_map(|source| source.split(": Words = Words {\n    name: \"").skip(1))
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(made.len() >= 8, "the sources are not read: {made:?}");
        assert_eq!(found, made, "each mapping of words stands behind a word");
    }

    #[test]
    fn every_word_is_explained_and_stands_once() {
        for words in every() {
            let names: BTreeSet<&str> = words.names().collect();
            assert_eq!(names.len(), words.rows().count(), "{}", words.name);
            for word in words.rows() {
                assert!(
                    word.about.ends_with(['.', ')']),
                    "{}: {}",
                    word.name,
                    word.about
                );
            }
        }
    }
}
