//! Every word that the reader takes is in the schemas, and every word of the schemas is read.

use serde_json::{Value, json};

use super::words::{Form, PROJECT, STEP, SUITE, WORKFLOW, Words};
use crate::{Catalog, Diagnostics, SourceFile, parse_project, parse_suite, validate};

/// A mapping and how a file that holds it is made.
type Place = (&'static Words, Vec<Around>);

/// What a value is put into on its way to the top of the file.
#[derive(Clone, Copy)]
enum Around {
    Key(&'static str),
    List,
}

fn places(form: &'static Form, around: &[Around], found: &mut Vec<Place>) {
    let inside = |one: Around| [around, &[one]].concat();
    match form {
        Form::Mapping(words) | Form::One(words) => within(words, around, found),
        Form::List(of) => places(of, &inside(Around::List), found),
        Form::Named(_, of) => places(of, &inside(Around::Key("a")), found),
        Form::Either(forms) => forms.iter().for_each(|form| places(form, around, found)),
        Form::Steps => within(&STEP, &inside(Around::List), found),
        _ => {}
    }
}

fn within(words: &'static Words, around: &[Around], found: &mut Vec<Place>) {
    found.push((words, around.to_vec()));
    for word in words.rows() {
        let inside = [around, &[Around::Key(word.name)]].concat();
        places(&word.form, &inside, found);
    }
}

fn file(around: &[Around], value: Value) -> SourceFile {
    let whole = around.iter().rev().fold(value, |value, one| match one {
        Around::Key(key) => json!({ *key: value }),
        Around::List => json!([value]),
    });
    SourceFile::new("file.yaml", whole.to_string())
}

/// A value that stands behind each word in turn and is wrong there, so that the reader must say so,
/// and must say so right there.
fn every_word_is_read(root: &'static Words, check: impl Fn(&SourceFile) -> Diagnostics) {
    let mut found = Vec::new();
    within(root, &[], &mut found);
    let mut read = 0;
    for (words, around) in found {
        for word in words.rows() {
            let wrong = match word.form {
                // Anything goes.
                Form::Value | Form::Data => continue,
                Form::Items => json!("wrong"),
                _ => json!([["wrong"]]),
            };
            let file = file(&around, json!({ word.name: wrong }));
            let at = file.text().find("wrong").expect("the value");
            let found = check(&file);
            assert!(
                found
                    .iter()
                    .any(|one| one.span.start <= at && at <= one.span.end),
                "`{}` of {} is in the schema and is not read: {}\n{found}",
                word.name,
                words.name,
                file.text()
            );
            read += 1;
        }
    }
    assert!(read > 8, "nothing was tried");
}

#[test]
fn every_word_of_a_workflow_is_read() {
    every_word_is_read(&WORKFLOW, |file| {
        validate(file, &Catalog::default(), &|_| Err(String::new())).1
    });
}

#[test]
fn every_word_of_a_project_is_read() {
    every_word_is_read(&PROJECT, |file| parse_project(file).1);
}

#[test]
fn every_word_of_tests_is_read() {
    every_word_is_read(&SUITE, |file| parse_suite(file).1);
}
