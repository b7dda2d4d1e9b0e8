//! The inputs of a run as the command line gives them.

use std::collections::BTreeMap;
use std::path::Path;

use docket_engine::Documents;
pub(crate) use docket_model::media_type;
use docket_model::{DocumentRef, InputSpec, InputType, Plan, resolve_inputs};
use serde_json::{Map, Value};

use crate::exit::{Exit, Failed};

/// Stores a file as a document.
pub(crate) type Store<'s> = dyn Fn(&Path) -> anyhow::Result<DocumentRef> + 's;

/// Reads `--inputs-file` and the `--input`s over it. Documents are stored and stand as references.
pub(crate) fn read(
    plan: &Plan,
    file: Option<&Path>,
    given: &[String],
    documents: &dyn Documents,
) -> anyhow::Result<Map<String, Value>> {
    read_with(&plan.inputs, file, given, &|path| store(path, documents))
}

/// The same for whoever stores documents otherwise.
pub(crate) fn read_with(
    specs: &BTreeMap<String, InputSpec>,
    file: Option<&Path>,
    given: &[String],
    store: &Store<'_>,
) -> anyhow::Result<Map<String, Value>> {
    let mut inputs = match file {
        Some(path) => {
            let text = read_text(path)?;
            serde_json::from_str(&text).map_err(|error| {
                Failed::new(
                    Exit::Invalid,
                    format!("{}: not a JSON object: {error}", path.display()),
                )
            })?
        }
        None => Map::new(),
    };
    for pair in given {
        let (name, text) = pair.split_once('=').ok_or_else(|| {
            Failed::new(Exit::Usage, format!("`--input {pair}` has no `=`"))
                .with_help("write --input name=value, or --input name=@file")
        })?;
        let kind = specs.get(name).map(|input| input.kind);
        inputs.insert(name.to_owned(), value(name, text, kind, store)?);
    }
    Ok(inputs)
}

/// The inputs of a run: what was given, and the defaults of what was not.
///
/// # Errors
/// What does not fit the plan's inputs.
pub(crate) fn resolved(plan: &Plan, given: Map<String, Value>) -> anyhow::Result<Value> {
    resolve_inputs(plan, given).map_err(|problems| {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let help = problems.iter().find_map(|problem| problem.help.clone());
        let failed = Failed::new(Exit::Invalid, texts.join("\n       "));
        match help {
            Some(help) => failed.with_help(help),
            None => failed,
        }
        .into()
    })
}

fn value(
    name: &str,
    text: &str,
    kind: Option<InputType>,
    store: &Store<'_>,
) -> anyhow::Result<Value> {
    let file = text.strip_prefix('@').map(Path::new);
    match (kind, file) {
        (Some(InputType::Document), Some(path)) => Ok(serde_json::to_value(store(path)?)?),
        (Some(InputType::Document), None) => Err(Failed::new(
            Exit::Invalid,
            format!("the input {name} is a document"),
        )
        .with_help(format!("give its file: --input {name}=@path/to/file.pdf"))
        .into()),
        (None | Some(InputType::String), None) => Ok(text.into()),
        (None | Some(InputType::String), Some(path)) => Ok(read_text(path)?.into()),
        (Some(_), file) => {
            let text = match file {
                Some(path) => read_text(path)?,
                None => text.to_owned(),
            };
            serde_json::from_str(&text).map_err(|error| {
                Failed::new(
                    Exit::Invalid,
                    format!("the input {name} is not JSON: {error}"),
                )
                .with_help("numbers, true and false as they are; lists and objects as JSON")
                .into()
            })
        }
    }
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).map_err(|error| missing(path, &error).into())
}

/// What to say of a file that cannot be read.
pub(crate) fn missing(path: &Path, error: &std::io::Error) -> Failed {
    Failed::new(Exit::Invalid, format!("{}: {error}", path.display()))
        .with_help("check the path; it is taken from the folder that you are in")
}

/// Stores a file as a document, piece by piece.
pub(crate) fn store(path: &Path, documents: &dyn Documents) -> anyhow::Result<DocumentRef> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(path).map_err(|error| missing(path, &error))?;
    let mut writer = documents.create()?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = file
            .read(&mut buffer)
            .map_err(|error| missing(path, &error))?;
        if count == 0 {
            break;
        }
        writer.write(&buffer[..count])?;
    }
    let (digest, size) = writer.finish()?;
    let name = path
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into());
    Ok(DocumentRef {
        digest,
        media_type: media_type(&name).to_owned(),
        name,
        size,
    })
}
