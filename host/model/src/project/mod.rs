//! The project file, `docket.yaml`: connections without their secrets, plugins and their grants.

mod connection;
mod grant;
mod sign_in_hook;
mod signatures;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use self::sign_in_hook::{SignInHook, SignInHookKind, SignInMail, SignInWebhook};
pub use self::signatures::{SignaturePolicy, Signatures};
use crate::built_in::BUILT_IN;
use crate::reader::{Codes, Reader, name_problem};
use crate::schema::words;
use crate::yaml::{Entry, Kind, Name, Node};
use crate::{ConnectionSpec, Diagnostics, Manifest, RequestRule, SourceFile, Span, yaml};

/// A project.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Project {
    /// The connections, by the names that workflows use.
    pub connections: BTreeMap<String, ConnectionSpec>,
    /// The plugins, by the names that workflows use.
    pub plugins: BTreeMap<String, PluginSpec>,
    /// Whose signatures components must have.
    pub signatures: Signatures,
    /// Where people reach `docket serve`: an origin without a slash at the end.
    pub public_url: Option<String>,
    /// How people are told that runs wait for their sign-in.
    pub sign_in_hook: Option<SignInHook>,
}

/// A plugin of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginSpec {
    /// The component's file, as written: relative to the project's folder unless it is absolute. Or
    /// where it is fetched from: see [`PluginSpec::remote`].
    pub source: PathBuf,
    /// What the operator grants it.
    pub grants: Grants,
    /// Where the project file names it, for diagnostics about the component.
    pub span: Span,
}

impl PluginSpec {
    /// The `https` or `oci` URL that the component is fetched from; `None` for a file.
    #[must_use]
    pub fn remote(&self) -> Option<&str> {
        let text = self.source.to_str()?;
        text.contains("://").then_some(text)
    }
}

/// What the operator grants a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grants {
    /// Whatever its manifest asks for.
    AllRequested,
    /// These requests; none where the list is empty.
    Only(Vec<RequestRule>),
}

impl Grants {
    /// The requests that they allow a plugin of this manifest, without doubles.
    #[must_use]
    pub fn rules(&self, manifest: &Manifest) -> Vec<RequestRule> {
        match self {
            Self::Only(rules) => rules.clone(),
            Self::AllRequested => {
                let needs = manifest.actions.iter().flat_map(|action| &action.requests);
                let mut rules: Vec<RequestRule> = Vec::new();
                for need in needs {
                    if !rules.contains(&need.rule) {
                        rules.push(need.rule.clone());
                    }
                }
                rules
            }
        }
    }
}

const CODES: Codes = Codes {
    unknown_key: "project/unknown-key",
    missing_key: "project/missing-key",
    wrong_type: "project/wrong-type",
    value: "project/value",
    unsupported: "project/unsupported",
};

/// Reads a project file. There is a project exactly when there is no error among the diagnostics,
/// which come in the order of the file.
#[must_use]
pub fn parse_project(source: &SourceFile) -> (Option<Project>, Diagnostics) {
    let mut diagnostics = Diagnostics::new();
    let root = yaml::parse(source, &mut diagnostics);
    let mut reader = Reader {
        file: source,
        codes: CODES,
        diagnostics,
    };
    let project = root.map(|root| read(&mut reader, &root));
    let mut diagnostics = reader.diagnostics;
    diagnostics.sort(source);
    (project.filter(|_| !diagnostics.has_errors()), diagnostics)
}

fn read(reader: &mut Reader<'_>, root: &Node) -> Project {
    let fields = reader.fields(root, "docket.yaml", &words::PROJECT);
    let mut project = Project::default();
    if let Some(node) = fields.get("connections") {
        let entries = reader.entries(node, "`connections`");
        for Entry { key, value } in entries {
            check_name(reader, key, "a connection");
            if let Some(spec) = connection::read(reader, key, value) {
                project.connections.insert(key.text.clone(), spec);
            }
        }
        connection::fallbacks(reader, entries, &project);
    }
    if let Some(node) = fields.get("plugins") {
        for Entry { key, value } in reader.entries(node, "`plugins`") {
            check_name(reader, key, "a plugin");
            if let Some(spec) = plugin(reader, key, value) {
                project.plugins.insert(key.text.clone(), spec);
            }
        }
    }
    if let Some(node) = fields.get("signatures") {
        project.signatures = signatures::read(reader, node);
    }
    sign_in_hook::read(reader, fields, &mut project);
    project
}

fn check_name(reader: &mut Reader<'_>, name: &Name, what: &str) {
    if let Some(problem) = name_problem(&name.text) {
        let message = format!("`{}` cannot be the name of {what}", name.text);
        reader.invalid(name.span, message, problem);
    }
}

fn plugin(reader: &mut Reader<'_>, name: &Name, node: &Node) -> Option<PluginSpec> {
    if name.text == BUILT_IN {
        let message = format!("no plugin can be called `{BUILT_IN}`: it names the built-in steps");
        reader.invalid(name.span, message, "give the plugin another name");
    }
    let what = format!("the plugin `{}`", name.text);
    let fields = reader.fields(node, &what, &words::PLUGIN);
    let grants = match fields.get("grants") {
        None => {
            reader.missing(name.span, &what, "grants");
            None
        }
        Some(node) => match &node.kind {
            Kind::String(word) if word == "all-requested" => Some(Grants::AllRequested),
            Kind::List(_) => {
                let texts = reader.texts(node, "`grants`");
                let rules = texts.iter().filter_map(|text| grant::read(reader, text));
                Some(Grants::Only(rules.collect()))
            }
            _ => {
                reader.wrong_type(node, "`grants`", "a list, or `all-requested`");
                None
            }
        },
    };
    let Some(source) = fields.get("source") else {
        reader.missing(name.span, &what, "source");
        return None;
    };
    let source = reader.text(source, "`source`")?;
    let is_remote = |start: &str| source.text.starts_with(start);
    if source.text.contains("://") && !is_remote("https://") && !is_remote("oci://") {
        let message = "a plugin comes from a file, an https URL or an OCI registry";
        let help = "write the path of its file, `https://…`, or `oci://registry/repository:tag`";
        reader.push(
            reader
                .error(CODES.unsupported, source.span, message)
                .with_help(help),
        );
        return None;
    }
    Some(PluginSpec {
        source: PathBuf::from(source.text),
        grants: grants?,
        span: name.span,
    })
}
