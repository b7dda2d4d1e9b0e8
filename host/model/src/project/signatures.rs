//! `signatures`: whose signatures components from registries must have.

use std::path::PathBuf;

use super::CODES;
use crate::reader::Reader;
use crate::schema::words;
use crate::yaml::Node;

/// Whose signatures components must have when they are added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signatures {
    /// What happens without one.
    pub policy: SignaturePolicy,
    /// The files of the public keys, from the project's folder unless they are absolute.
    pub keys: Vec<PathBuf>,
}

/// What happens when a component that is added has no signature by one of the keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SignaturePolicy {
    /// Nothing: signatures are not looked at.
    #[default]
    Off,
    /// It is said, and the component can be added.
    Warn,
    /// It is refused.
    Require,
}

pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Signatures {
    let mut signatures = Signatures::default();
    let fields = reader.fields(node, "`signatures`", &words::SIGNATURES);
    if let Some(node) = fields.get("policy")
        && let Some(word) = reader.text(node, "`policy`")
    {
        match word.text.as_str() {
            "off" => signatures.policy = SignaturePolicy::Off,
            "warn" => signatures.policy = SignaturePolicy::Warn,
            "require" => signatures.policy = SignaturePolicy::Require,
            other => {
                let message = format!("there is no policy `{other}`");
                reader.invalid(word.span, message, "write `require`, `warn` or `off`");
            }
        }
    }
    if let Some(node) = fields.get("keys") {
        let keys = reader.texts(node, "`keys`");
        signatures.keys = keys.into_iter().map(|key| key.text.into()).collect();
    }
    if signatures.policy != SignaturePolicy::Off && signatures.keys.is_empty() {
        let message = "`signatures` needs the key `keys`: the files of those who may sign";
        let error = reader.error(CODES.missing_key, node.span, message);
        reader.push(
            error.with_help("name the files of their public keys, as in `keys: [keys/acme.pub]`"),
        );
    }
    signatures
}
