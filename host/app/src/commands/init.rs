//! `docket init`: a new project that runs at once against a simulated tenant.

use std::path::{Path, PathBuf};

use anyhow::Result;
use docket_model::{project_schema, suite_schema, workflow_schema};
use docket_plugins::pin::{Lock, Pin};
use docket_tenant::DEMO_CLIENT_ID;
use serde_json::json;

use crate::cli::{Global, InitArgs};
use crate::commands::tenant::SERVICE_ACCOUNT;
use crate::exit::{Exit, Failed};
use crate::files;
use crate::pins;
use crate::project::Project;
use crate::render::{self, note};
use crate::workbench::Workbench;

/// The plugins that a new project has.
const PLUGINS: [&str; 2] = ["exchange", "graph-import"];
/// Where the schemas lie, for editors.
const SCHEMAS: &str = ".docket/schema";

pub(crate) async fn run(global: &Global, arguments: &InitArgs) -> Result<Exit> {
    let folder = &arguments.folder;
    let written = make(global, folder, &arguments.components).await?;
    if global.json {
        render::line(&json!({"project": folder, "files": written}).to_string());
    } else {
        for file in &written {
            note!("  {}", folder.join(file).display());
        }
        let there = match folder.as_path() == Path::new(".") {
            true => String::new(),
            false => format!("cd {}\n  ", folder.display()),
        };
        note!(
            "\nTry it, with nothing but this machine:\n\n  {there}docket test\n  docket tenant \
             --project-to . &\n  docket run workflows/welcome.yaml --input to=anna@contoso.example \
             --input name=Anna\n"
        );
    }
    Ok(Exit::Success)
}

/// Makes a project in a folder, with its plugins pinned; gives the files, relative to it.
///
/// # Errors
/// Where one of the files is there already; nothing is written then.
pub(crate) async fn make(
    global: &Global,
    folder: &Path,
    components: &Path,
) -> Result<Vec<PathBuf>> {
    let mut written = write(folder, components)?;
    let global = global.within(folder);
    // The project must be right, and its schemas hold what its plugins can do.
    let bench = Workbench::open(Project::load(&global)?).await?;
    write_schemas(&bench)?;
    let mut lock = Lock::default();
    for (name, spec) in &bench.project.spec.plugins {
        if let Some(held) = bench.plugins.get(name) {
            let (source, plugin) = (spec.source.display().to_string(), &held.plugin);
            let pin = Pin::new(source, plugin.digest(), plugin.manifest());
            lock.plugins.insert(name.clone(), pin);
        }
    }
    pins::write(&bench.project, &lock)?;
    written.push(pins::FILE.into());
    Ok(written)
}

/// Writes a project into a folder; gives the files, relative to it.
///
/// # Errors
/// Where one of the files is there already; nothing is written then.
fn write(folder: &Path, components: &Path) -> Result<Vec<PathBuf>> {
    let texts = texts();
    let binaries: Vec<(PathBuf, PathBuf)> = PLUGINS
        .iter()
        .map(|name| {
            let file = Path::new(name).with_extension("wasm");
            (Path::new("plugins").join(&file), components.join(&file))
        })
        .collect();
    let all = texts
        .iter()
        .map(|(file, _)| Path::new(file))
        .chain(binaries.iter().map(|(file, _)| file.as_path()));
    let mut in_the_way = all.clone().chain(std::iter::once(Path::new(pins::FILE)));
    if let Some(file) = in_the_way.find(|file| folder.join(file).exists()) {
        let message = format!("{} is there already", folder.join(file).display());
        return Err(Failed::new(Exit::Usage, message)
            .with_help("nothing was written; name a new folder: docket init DIR")
            .into());
    }
    let files: Vec<PathBuf> = all.map(Path::to_owned).collect();
    // What cannot be read is found before anything is written.
    let mut contents = Vec::new();
    for (file, from) in binaries {
        let bytes = std::fs::read(&from).map_err(|error| {
            Failed::new(Exit::Usage, format!("{}: {error}", from.display()))
                .with_help("name the folder with the built plugins with --components")
        })?;
        contents.push((file, bytes));
    }
    let texts = texts
        .into_iter()
        .map(|(file, text)| (PathBuf::from(file), text.into_bytes()));
    for (file, bytes) in texts.chain(contents) {
        let path = folder.join(&file);
        if let Some(parent) = path.parent() {
            files::make_folder(parent)?;
        }
        files::write(&path, bytes)?;
    }
    Ok(files)
}

/// Writes the schemas of a project, for its editors.
pub(crate) fn write_schemas(bench: &Workbench) -> Result<()> {
    let folder = bench.project.root.join(SCHEMAS);
    files::make_folder(&folder)?;
    for (name, schema) in [
        ("workflow", workflow_schema(bench.catalog())),
        ("project", project_schema()),
        ("test", suite_schema()),
    ] {
        let file = folder.join(name).with_extension("json");
        files::write(&file, format!("{schema:#}\n"))?;
    }
    Ok(())
}

/// The connections of a new project.
pub(crate) fn connections_text() -> String {
    format!(
        "connections:
  # One account that an administrator signs in once, with the shared mailboxes that it may use.
  contoso:
    kind: service-account
    tenant: contoso.example
    client-id: {DEMO_CLIENT_ID}
    account: {SERVICE_ACCOUNT}
    mailboxes:
      - contracts@contoso.example
      - invoices@contoso.example

  # Everybody for themselves.
  people:
    kind: per-user
    tenant: contoso.example
    client-id: {DEMO_CLIENT_ID}
    fallback: contoso
"
    )
}

/// The plugins of a new project; `source` says where a plugin's component lies.
pub(crate) fn plugins_text(source: impl Fn(&str) -> String) -> String {
    let one = |name: &&str| {
        let source = serde_json::Value::from(source(name));
        format!("  {name}:\n    source: {source}\n    grants: all-requested\n")
    };
    format!("plugins:\n{}", PLUGINS.iter().map(one).collect::<String>())
}

/// The files of a new project that are text.
fn texts() -> Vec<(&'static str, String)> {
    let project = format!(
        "# yaml-language-server: $schema={SCHEMAS}/project.json
# Put your directory, app registration, account and mailboxes here; secrets are stored by
# `docket connections add`. `docket connections show contoso` says what to register in Entra ID.
{}
{}",
        connections_text(),
        plugins_text(|name| format!("plugins/{name}.wasm"))
    );
    let settings = json!({
        "yaml.schemas": {
            format!("./{SCHEMAS}/workflow.json"): ["workflows/*.yaml", "!workflows/*.test.yaml"],
            format!("./{SCHEMAS}/test.json"): "workflows/*.test.yaml",
            format!("./{SCHEMAS}/project.json"): ["docket.yaml", "docket.local.yaml"]
        },
        "files.associations": {"workflows/templates/*.html": "jinja-html"}
    });
    let extensions = json!({"recommendations": ["redhat.vscode-yaml"]});
    vec![
        ("docket.yaml", project),
        ("workflows/welcome.yaml", WORKFLOW.to_owned()),
        ("workflows/welcome.test.yaml", TESTS.to_owned()),
        ("workflows/templates/welcome.html", TEMPLATE.to_owned()),
        (".vscode/settings.json", format!("{settings:#}\n")),
        (".vscode/extensions.json", format!("{extensions:#}\n")),
        (".gitignore", IGNORED.to_owned()),
        ("README.md", README.to_owned()),
    ]
}

const WORKFLOW: &str = "# yaml-language-server: $schema=../.docket/schema/workflow.json
workflow: welcome
description: Sends a welcome mail from the shared mailbox.

on:
  manual:

inputs:
  to:
    type: string
    required: true
    description: The address of whoever is welcome.
  name:
    type: string
    required: true
    description: Their name.

connections:
  exchange: contoso

steps:
  - id: welcome
    uses: exchange/send
    with:
      from: contracts@contoso.example
      to: ${{ inputs.to }}
      subject: \"Welcome, ${{ inputs.name }}\"
      html:
        template: templates/welcome.html
        data:
          name: ${{ inputs.name }}

outputs:
  message: ${{ steps.welcome.output.message }}
";

const TESTS: &str = "# yaml-language-server: $schema=../.docket/schema/test.json
inputs:
  to: anna@contoso.example
  name: Anna

cases:
  - name: one mail goes out from the shared mailbox
    expect:
      mailboxes:
        contracts@contoso.example:
          Sent Items:
            - subject: Welcome, Anna
              to: anna@contoso.example
              contains: Dear Anna

  - name: a lost answer does not send it twice
    faults:
      - request: POST */messages/*/send
        fault: reset-after
    expect:
      mailboxes:
        contracts@contoso.example:
          Sent Items:
            - subject: Welcome, Anna
";

const TEMPLATE: &str = "<p>Dear {{ name }},</p>
<p>welcome aboard. If anything is missing, just answer this mail.</p>
<p>Kind regards</p>
";

const IGNORED: &str =
    "# What is done on this machine: runs, documents, secrets, schemas for the editor.
/.docket/
/.docket-local/
/docket.local.yaml
";

const README: &str = "# Document workflows

| command | does |
|---|---|
| `docket test` | runs the tests beside the workflows, each on a simulated tenant of its own |
| `docket tenant --project-to .` | has this project use a simulated tenant for as long as it is up |
| `docket run workflows/welcome.yaml --input to=… --input name=…` | runs the workflow |
| `docket run … --dry-run` | shows what it would send, and sends nothing |
| `docket validate` | checks all files; with `--watch` again at each change |
| `docket schema --out .docket/schema/workflow.json` | renews the editor's schema after a plugin has changed |

An editor with a YAML language server (Visual Studio Code with the extension it recommends here)
completes and explains workflows. On a new clone, make its schemas first:

```sh
mkdir -p .docket/schema
for of in workflow project test; do docket schema $of --out .docket/schema/$of.json; done
```

To use a real tenant, put your own directory, app registration, account and mailboxes into
`docket.yaml`; `docket connections show contoso` says what to register, `docket connections add contoso`
stores the client secret, and `docket connections authorize contoso` signs the account in.
";
