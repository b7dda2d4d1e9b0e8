//! Runs the cases, each beside a neighbour, and gathers the verdicts.

use anyhow::{Context as _, Result};
use docket_model::StepResult;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::case::{Attack, Case, Expect};
use crate::world::{Ran, World};

/// Cases at once.
const SIDE_BY_SIDE: usize = 8;

/// What became of a case.
#[derive(Debug)]
pub struct Verdict {
    /// The case's name.
    pub name: &'static str,
    /// What the plugin tried.
    pub tries: &'static str,
    /// How it was denied; or what is not as it must be.
    pub denied: Result<String, String>,
    /// The secrets that were found where they must not be.
    pub leaks: Vec<String>,
}

/// What became of all cases.
#[derive(Debug)]
pub struct Report {
    /// One for each case, in the order of the table.
    pub verdicts: Vec<Verdict>,
    /// The secrets that left for somebody else, or are in the data folder.
    pub leaks: Vec<String>,
    /// The files of the data folder that were searched.
    pub files: usize,
}

impl Report {
    /// The cases that were denied as they must be.
    #[must_use]
    pub fn denied(&self) -> usize {
        let verdicts = self.verdicts.iter();
        verdicts.filter(|verdict| verdict.denied.is_ok()).count()
    }

    /// Every leak, with the name of its case where it is known.
    #[must_use]
    pub fn all_leaks(&self) -> Vec<String> {
        let of_case = |verdict: &Verdict| {
            let name = verdict.name;
            let leaks = verdict.leaks.iter();
            leaks
                .map(|leak| format!("{name}: {leak}"))
                .collect::<Vec<_>>()
        };
        let mut leaks: Vec<String> = self.verdicts.iter().flat_map(of_case).collect();
        leaks.extend(self.leaks.iter().cloned());
        leaks
    }

    /// Whether every case was denied and nothing leaked.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.denied() == self.verdicts.len() && self.all_leaks().is_empty()
    }

    /// The line for machines.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "cases": self.verdicts.len(),
            "denied": self.denied(),
            "leaks": self.all_leaks().len(),
        })
    }
}

/// Runs cases against one host.
///
/// # Errors
/// Where the host, the tenant or the search itself does not work.
pub async fn run(cases: Vec<Case>) -> Result<Report> {
    let world = World::start().await?;
    let verdicts: Vec<Result<(usize, Verdict)>> = stream::iter(cases.into_iter().enumerate())
        .map(async |(n, case)| {
            let name = case.name;
            let verdict = beside_a_neighbour(&world, n, case).await;
            Ok((n, verdict.with_context(|| format!("the case {name}"))?))
        })
        .buffer_unordered(SIDE_BY_SIDE)
        .collect()
        .await;
    let mut verdicts = verdicts.into_iter().collect::<Result<Vec<_>>>()?;
    verdicts.sort_by_key(|(n, _)| *n);
    let verdicts = verdicts.into_iter().map(|(_, verdict)| verdict).collect();
    let (files, mut leaks) = world.written()?;
    leaks.extend(world.left()?);
    Ok(Report {
        verdicts,
        leaks,
        files,
    })
}

/// The case, and meanwhile a run that does honest work with the same plugin, host and account.
async fn beside_a_neighbour(world: &World, n: usize, case: Case) -> Result<Verdict> {
    let Case {
        name,
        tries,
        attack,
        expect,
    } = case;
    let neighbour = async {
        let url = "{graph}/v1.0/users/contracts@contoso.example/messages?$top=1";
        let input = json!({"requests": [{"url": url, "token": true}]});
        let run = format!("neighbour-{n}");
        world.probe(&run, "contoso", "fetch", &input).await
    };
    let run = format!("case-{n}");
    let (attacked, neighbour) = tokio::join!(attacked(world, &run, attack, &expect), neighbour);
    let (mut denied, mut leaks) = attacked?;
    let Ran { result, heard } = neighbour?;
    leaks.extend(heard.leaks);
    let is_well = matches!(&result, StepResult::Done(output) if output.value[0]["status"] == 200);
    if !is_well || heard.searched == 0 {
        denied = Err(format!("the neighbour noticed: {result:?}"));
    }
    leaks.sort();
    leaks.dedup();
    Ok(Verdict {
        name,
        tries,
        denied,
        leaks,
    })
}

type Judged = (Result<String, String>, Vec<String>);

async fn attacked(world: &World, run: &str, attack: Attack, expect: &Expect) -> Result<Judged> {
    let ran = match attack {
        Attack::Probe(connection, action, input) => {
            world.probe(run, connection, action, &input).await?
        }
        Attack::Guest(component) => {
            let plugin = world.add(component).await?;
            world.guest(run, &plugin).await?
        }
        Attack::Add(component) => {
            let denied = match (world.add(component).await, expect) {
                (Err(error), Expect::NotTaken(part)) if error.to_string().contains(part) => {
                    Ok(error.to_string())
                }
                (Err(error), _) => Err(format!("not taken, but: {error}")),
                (Ok(_), _) => Err("the component was taken".to_owned()),
            };
            return Ok((denied, Vec::new()));
        }
    };
    let denied = expect.judge(&ran.result, &ran.heard.log);
    // Where the log is full, nobody hears that the guest is ready to be looked at.
    let must_be_searched =
        matches!(ran.result, StepResult::Done(_)) && !matches!(expect, Expect::Logs(_));
    if must_be_searched && ran.heard.searched == 0 {
        return Ok((
            Err("its memory was not searched".to_owned()),
            ran.heard.leaks,
        ));
    }
    Ok((denied, ran.heard.leaks))
}
