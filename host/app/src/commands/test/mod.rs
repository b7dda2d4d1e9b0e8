//! `docket test`: the tests of workflows. Each case has a simulated tenant and a data folder of its own,
//! and a clock that nobody waits for.

mod case;
mod compare;
mod junit;
mod time;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use docket_model::{Case, Plan, Suite, check_suite, parse_suite};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cli::{Global, TestArgs};
use crate::exit::{Exit, Failed};
use crate::files;
use crate::project::{Project, is_test, read_source, yaml_files};
use crate::render::{self, note};
use crate::workbench::Workbench;

/// The longest that a case may take on this machine's own clock.
const LONGEST: Duration = Duration::from_secs(300);

/// Tests that were read, with the plan of their workflow.
struct Tests {
    file: PathBuf,
    suite: Suite,
    plan: Plan,
}

/// How a case ended.
struct Ended {
    file: PathBuf,
    name: String,
    took: Duration,
    verdict: Verdict,
}

/// What is to be said of a case.
enum Verdict {
    Passed,
    /// What is not as it must be, line by line.
    Failed(Vec<String>),
    /// Why it could not be run.
    Broken(String),
}

impl Verdict {
    const fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::Broken(_) => "broken",
        }
    }

    fn lines(&self) -> &[String] {
        match self {
            Self::Passed => &[],
            Self::Failed(lines) => lines,
            Self::Broken(why) => std::slice::from_ref(why),
        }
    }
}

pub(crate) async fn run(global: &Global, arguments: &TestArgs) -> Result<Exit> {
    let bench = Arc::new(Workbench::open(Project::load_shared(global)?).await?);
    let files = meant(&bench.project, &arguments.paths)?;
    let mut all = Vec::new();
    let mut is_right = true;
    for file in &files {
        match read(&bench, file)? {
            Some(tests) => all.push(Arc::new(tests)),
            None => is_right = false,
        }
    }
    if !is_right {
        let message = "tests, or the workflows that they are for, have problems; none was run";
        return Err(Failed::new(Exit::Invalid, message).into());
    }
    let wanted = |tests: &Tests, case: &Case| {
        arguments.filter.as_ref().is_none_or(|text| {
            case.name.contains(text) || tests.file.to_string_lossy().contains(text)
        })
    };
    let cases: Vec<(Arc<Tests>, usize)> = all
        .iter()
        .flat_map(|tests| {
            let cases = tests.suite.cases.iter().enumerate();
            cases
                .filter(|(_, case)| wanted(tests, case))
                .map(|(at, _)| (Arc::clone(tests), at))
        })
        .collect();
    if cases.is_empty() {
        return Err(Failed::new(Exit::Usage, "there is no such test")
            .with_help("tests of NAME.yaml stand beside it, in NAME.test.yaml")
            .into());
    }
    let ended = run_all(&bench, cases, arguments.at_once).await?;
    tell(&ended, global.json);
    if let Some(file) = &arguments.junit {
        files::write(file, junit::report(&ended))?;
    }
    let is_good = ended
        .iter()
        .all(|one| matches!(one.verdict, Verdict::Passed));
    Ok(match is_good {
        true => Exit::Success,
        false => Exit::RunFailed,
    })
}

/// The files of tests that are meant.
fn meant(project: &Project, paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    if paths.is_empty() {
        return project.tests();
    }
    let mut files = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            files.extend(yaml_files(path)?.into_iter().filter(|file| is_test(file)));
        } else if is_test(path) {
            files.push(path.clone());
        } else {
            // The tests of a workflow.
            let beside = ["test.yaml", "test.yml"].map(|ending| path.with_extension(ending));
            let found = beside.into_iter().find(|tests| tests.exists());
            let help = "its tests stand beside it, in NAME.test.yaml";
            files.push(found.ok_or_else(|| {
                Failed::new(Exit::Usage, format!("{name} has no tests")).with_help(help)
            })?);
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}

/// Reads tests and plans their workflow; problems are printed.
fn read(bench: &Workbench, file: &Path) -> Result<Option<Tests>> {
    let source = read_source(file)?;
    let (suite, found) = parse_suite(&source);
    render::diagnostics(&found);
    let Some(suite) = suite else {
        return Ok(None);
    };
    let workflow = workflow_of(&suite, file);
    let (plan, found) = bench.check(&read_source(&workflow)?, &workflow);
    render::diagnostics(&found);
    let Some(plan) = plan else {
        return Ok(None);
    };
    let found = check_suite(&source, &plan);
    render::diagnostics(&found);
    let file = file.to_owned();
    Ok((!found.has_errors()).then_some(Tests { file, suite, plan }))
}

/// The workflow that tests are for: as they say, else the one beside them.
pub(crate) fn workflow_of(suite: &Suite, file: &Path) -> PathBuf {
    let folder = file.parent().unwrap_or(Path::new(""));
    if let Some(name) = &suite.workflow {
        return folder.join(name);
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split(".test.").next().unwrap_or(&name);
    let [first, other] = ["yaml", "yml"].map(|ending| folder.join(format!("{stem}.{ending}")));
    match !first.exists() && other.exists() {
        true => other,
        false => first,
    }
}

async fn run_all(
    bench: &Arc<Workbench>,
    cases: Vec<(Arc<Tests>, usize)>,
    at_once: Option<u16>,
) -> Result<Vec<Ended>> {
    let at_once = at_once.map_or_else(
        || std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        usize::from,
    );
    let places = Arc::new(Semaphore::new(at_once));
    let bar = ProgressBar::with_draw_target(Some(cases.len() as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("  {spinner} {pos}/{len} {msg:.dim}") {
        bar.set_style(style);
    }
    let mut running = JoinSet::new();
    for (place, (tests, at)) in cases.into_iter().enumerate() {
        let (bench, places) = (Arc::clone(bench), Arc::clone(&places));
        running.spawn(async move {
            let _turn = places.acquire_owned().await;
            let began = std::time::Instant::now();
            let verdict = match tests.suite.cases.get(at) {
                Some(case) => {
                    let run = case::run(&bench, &tests, case);
                    match tokio::time::timeout(LONGEST, run).await {
                        Ok(Ok(problems)) if problems.is_empty() => Verdict::Passed,
                        Ok(Ok(problems)) => Verdict::Failed(problems),
                        Ok(Err(error)) => Verdict::Broken(format!("{error:#}")),
                        Err(_) => Verdict::Broken(format!("it took more than {LONGEST:?}")),
                    }
                }
                None => Verdict::Broken("the case is gone".to_owned()),
            };
            let name = tests.suite.cases.get(at).map(|case| case.name.clone());
            let ended = Ended {
                file: tests.file.clone(),
                name: name.unwrap_or_default(),
                took: began.elapsed(),
                verdict,
            };
            (place, ended)
        });
    }
    let mut ended = Vec::new();
    while let Some(done) = running.join_next().await {
        let (place, one) = done.context("a case was broken off")?;
        bar.set_message(one.name.clone());
        bar.inc(1);
        let text = line(&one);
        match bar.is_hidden() {
            true => note!("{text}"),
            false => bar.println(text),
        }
        ended.push((place, one));
    }
    bar.finish_and_clear();
    ended.sort_by_key(|(place, _)| *place);
    Ok(ended.into_iter().map(|(_, one)| one).collect())
}

fn line(one: &Ended) -> String {
    let mark = match one.verdict {
        Verdict::Passed => '✓',
        Verdict::Failed(_) | Verdict::Broken(_) => '✗',
    };
    let file = one.file.file_name().unwrap_or_default().to_string_lossy();
    let mut text = format!(
        "  {mark} {file}: {}  {:.2} s",
        one.name,
        one.took.as_secs_f64()
    );
    for line in one.verdict.lines() {
        text.push_str("\n      ");
        text.push_str(line);
    }
    text
}

fn tell(ended: &[Ended], as_json: bool) {
    let count = |word: &str| {
        ended
            .iter()
            .filter(|one| one.verdict.word() == word)
            .count()
    };
    let (passed, failed, broken) = (count("passed"), count("failed"), count("broken"));
    if as_json {
        let cases: Vec<Value> = ended
            .iter()
            .map(|one| {
                json!({
                    "file": one.file, "name": one.name, "state": one.verdict.word(),
                    "seconds": one.took.as_secs_f64(), "problems": one.verdict.lines(),
                })
            })
            .collect();
        render::line(
            &json!({"cases": cases, "passed": passed, "failed": failed, "broken": broken})
                .to_string(),
        );
    }
    note!("{passed} passed, {failed} failed, {broken} could not be run");
}
