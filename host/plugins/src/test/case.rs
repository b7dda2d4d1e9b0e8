//! The file of a case: what is called, what servers answer, and what is to come of it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use docket_engine::Documents;
use docket_model::{ConnectionKind, DocumentRef, WrittenContent, WrittenDocument, replace_marked};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::expect::Expect;
use super::script::Answer;

/// Where a case's account finds its provider unless the case says otherwise.
const ENDPOINTS: [&str; 2] = ["graph", "outlook"];

/// A case.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Case {
    /// The file's name without its extension.
    #[serde(skip)]
    pub name: String,
    /// The folder that files are named from.
    #[serde(skip)]
    pub folder: PathBuf,
    /// The action.
    pub action: String,
    /// Its input. `{$file: PATH}` and `{$text: TEXT, name: NAME}` in it stand for documents, with
    /// `mediaType` where it matters.
    #[serde(default = "empty")]
    pub input: Value,
    /// The user principal name that the step acts as; without it the step has no connection.
    pub account: Option<String>,
    /// The kind of the step's connection, by the word that `docket.yaml` has for it.
    #[serde(default = "service_account")]
    pub account_kind: ConnectionKind,
    /// The mailboxes that the connection allows, where it has a list.
    pub mailboxes: Option<Vec<String>>,
    /// The provider's base URLs by name; `https://graph.test` and `https://outlook.test` else.
    pub endpoints: Option<BTreeMap<String, String>>,
    /// When the attempt starts.
    #[serde(default = "morning")]
    pub time: Timestamp,
    /// The idempotency key; one of the case's own else.
    pub idempotency_key: Option<String>,
    /// The attempt's number.
    #[serde(default = "first")]
    pub attempt: u32,
    /// A source's cursor.
    pub cursor: Option<String>,
    /// What servers answer, in order.
    #[serde(default)]
    pub answers: Vec<Answer>,
    /// What servers answer besides, after an unsafe request was broken.
    #[serde(default)]
    pub interrupted: Interrupted,
    /// What is to come of it.
    pub expect: Expect,
}

/// What a look finds when the reply of an unsafe request was lost.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Interrupted {
    /// Where the request had reached the server.
    #[serde(default)]
    pub reached: Vec<Answer>,
    /// Where it had not.
    #[serde(default)]
    pub lost: Vec<Answer>,
}

fn empty() -> Value {
    Value::Object(Map::new())
}

fn morning() -> Timestamp {
    // 2026-11-21T09:00:00Z, as in the SDK's own tests.
    Timestamp::constant(1_795_251_600, 0)
}

const fn service_account() -> ConnectionKind {
    ConnectionKind::ServiceAccount
}

const fn first() -> u32 {
    1
}

/// A case cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct CaseError {
    /// Its file, or a file that it names.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: String,
}

impl CaseError {
    pub(super) fn new(path: impl Into<PathBuf>, problem: impl ToString) -> Self {
        Self {
            path: path.into(),
            problem: problem.to_string(),
        }
    }
}

/// Reads the cases of a folder, by name: its `.yaml`, `.yml` and `.json` files. A folder that is not
/// there has none.
///
/// # Errors
/// The first file that is no case.
pub fn read_cases(folder: &Path) -> Result<Vec<Case>, CaseError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CaseError::new(folder, error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| CaseError::new(folder, error))?.path();
        let kind = path.extension().and_then(|kind| kind.to_str());
        if matches!(kind, Some("yaml" | "yml" | "json")) {
            files.push(path);
        }
    }
    files.sort();
    files.iter().map(|file| Case::read(file)).collect()
}

impl Case {
    /// Reads a case.
    ///
    /// # Errors
    /// The file cannot be read, or is no case.
    pub fn read(file: &Path) -> Result<Self, CaseError> {
        let text = fs::read_to_string(file).map_err(|error| CaseError::new(file, error))?;
        let mut case: Self =
            serde_saphyr::from_str(&text).map_err(|error| CaseError::new(file, error))?;
        let name = file.file_stem().unwrap_or_default();
        case.name = name.to_string_lossy().into_owned();
        case.folder = file.parent().unwrap_or(Path::new("")).to_owned();
        for answer in case.all_answers() {
            answer
                .check()
                .map_err(|problem| CaseError::new(file, problem))?;
        }
        case.expect
            .check()
            .map_err(|problem| CaseError::new(file, problem))?;
        Ok(case)
    }

    fn all_answers(&self) -> impl Iterator<Item = &Answer> {
        let broken = self.interrupted.reached.iter();
        self.answers
            .iter()
            .chain(broken.chain(&self.interrupted.lost))
    }

    /// The provider's base URLs by name.
    pub(super) fn endpoints(&self) -> Vec<(String, String)> {
        match &self.endpoints {
            Some(endpoints) => endpoints
                .iter()
                .map(|(name, url)| (name.clone(), url.trim_end_matches('/').to_owned()))
                .collect(),
            None => ENDPOINTS
                .map(|name| (name.to_owned(), format!("https://{name}.test")))
                .into(),
        }
    }

    /// The input, its documents stored.
    ///
    /// # Errors
    /// A file that cannot be read, or a document without a name.
    pub(super) fn input(&self, documents: &dyn Documents) -> Result<Value, CaseError> {
        self.with_documents(&self.input, documents)
    }

    /// A value in which documents stand as `{$file: …}` or `{$text: …}`, with references in their
    /// place.
    pub(super) fn with_documents(
        &self,
        value: &Value,
        documents: &dyn Documents,
    ) -> Result<Value, CaseError> {
        replace_marked(value, &WrittenDocument::MARKS, &mut |fields| {
            let invalid = |problem| CaseError::new(&self.name, problem);
            let written = WrittenDocument::read(fields).map_err(invalid)?;
            let document = self.document(&written, documents)?;
            serde_json::to_value(document).map_err(|error| CaseError::new(&self.name, error))
        })
    }

    fn document(
        &self,
        written: &WrittenDocument<'_>,
        documents: &dyn Documents,
    ) -> Result<DocumentRef, CaseError> {
        let (bytes, own_name) = match written.content {
            WrittenContent::Text(text) => (text.as_bytes().to_vec(), String::new()),
            WrittenContent::File(file) => {
                let path = self.folder.join(file);
                let bytes = fs::read(&path).map_err(|error| CaseError::new(&path, error))?;
                let name = path.file_name().unwrap_or_default();
                (bytes, name.to_string_lossy().into_owned())
            }
        };
        let name = written.name.unwrap_or(&own_name);
        documents
            .put(name, written.media_type(name), &bytes)
            .map_err(|error| CaseError::new(&self.name, error))
    }
}
