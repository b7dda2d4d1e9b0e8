//! Chaos: `docket serve` is killed at random moments, round after round, under load, while the tenant
//! drops connections before and after the effect, delays, refuses, and says that it failed after it
//! had accepted. In the end every run must have ended, and every mail must be in the tenant once.
//!
//! The tenant lives in this process and the host in one of its own, which gets SIGKILL. What happens
//! is a function of the seed as far as processes allow: which runs are started in which round, how
//! long a process lives, what goes wrong on which request. The verdict is read back from the tenant.

mod orders;
mod served;
mod tenant;
mod verdict;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use docket_e2e::Binary;
use docket_tenant::Tenant;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use orders::Orders;
use served::Served;
use tenant::Weather;
pub use verdict::Report;

/// How many runs may be unfinished before a round starts no more: nothing is proven by a queue.
const BACKLOG: usize = 40;
/// How long the last process has to bring everything to its end. A draft that may have been sent is
/// left alone for a minute, and retries come on top.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often progress is told.
const TOLD_EVERY: u32 = 25;

/// How much chaos.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How many processes are killed.
    pub rounds: u32,
    /// What everything that is left to chance comes from.
    pub seed: u64,
    /// How many seconds pass in the tenant while one passes here: `exchange` leaves a draft that may
    /// be on its way alone for a minute of the server's time.
    pub speed: u32,
    /// Tells people on standard error how it goes.
    pub is_telling: bool,
}

impl Settings {
    /// The usual speed, at which a draft still on its way is met now and then.
    #[must_use]
    pub const fn new(rounds: u32, seed: u64) -> Self {
        Self {
            rounds,
            seed,
            speed: 2_000,
            is_telling: true,
        }
    }
}

/// Rages for so many rounds, and then lets everything come to its end and counts.
///
/// # Errors
/// Where nothing can be proven: the host does not start, or does not end. The data folder stays then,
/// as it does where the report is bad.
pub async fn run(settings: &Settings) -> Result<Report> {
    let lab = tenant::lab(settings.speed).await?;
    let docket = orders::project(&lab)?;
    let mut rage = Rage {
        settings: *settings,
        chance: StdRng::seed_from_u64(settings.seed),
        weather: Weather::default(),
        orders: Orders::default(),
        kills: 0,
        began: Instant::now(),
    };
    let raged = rage.rounds(&docket, &lab.tenant).await;
    let ended = match raged {
        Ok(()) => rage.end(&docket, &lab.tenant).await,
        Err(error) => Err(error),
    };
    let report = match ended {
        Ok(()) => verdict::read(&lab, &rage.orders, settings.rounds, rage.kills).await,
        Err(error) => Err(error),
    };
    let is_good = report.as_ref().is_ok_and(Report::is_good);
    if !is_good {
        eprintln!("{}", verdict::keep(lab, &docket));
    }
    report
}

struct Rage {
    settings: Settings,
    chance: StdRng,
    weather: Weather,
    orders: Orders,
    kills: u32,
    began: Instant,
}

impl Rage {
    async fn rounds(&mut self, docket: &Binary, tenant: &Tenant) -> Result<()> {
        for round in 0..self.settings.rounds {
            // All of the round's chance is drawn here, whatever the round then has time for.
            self.orders.draw(round, &mut self.chance);
            let life = Life::draw(round, &mut self.chance);
            self.weather.change(tenant.state(), &mut self.chance);
            self.round(docket, tenant, life).await?;
            if round % TOLD_EVERY == TOLD_EVERY - 1 {
                self.tell(tenant, round + 1)?;
            }
        }
        Ok(())
    }

    async fn round(&mut self, docket: &Binary, tenant: &Tenant, life: Life) -> Result<()> {
        let mut served = Served::spawn(docket)?;
        match life {
            Life::FromStart(time) => tokio::time::sleep(time).await,
            Life::FromAnswer(busy) => {
                served.answers(docket).await?;
                let work = async {
                    // Broken off by the kill, or by an answer that the kill cut: both are repeated.
                    match served.unfinished(BACKLOG).await {
                        Ok(runs) if runs.len() < BACKLOG => self.orders.place(),
                        Ok(_) => {}
                        Err(error) => self.orders.note(error),
                    }
                    self.orders.start_all(&served).await;
                };
                let end = busy.lasts(tenant);
                tokio::pin!(end);
                tokio::select! {
                    () = &mut end => {}
                    () = work => end.await,
                }
            }
        }
        served.kill().await?;
        self.kills += 1;
        Ok(())
    }

    /// The weather clears, and one process does what is left.
    async fn end(&mut self, docket: &Binary, tenant: &Tenant) -> Result<()> {
        self.weather.clear(tenant.state());
        let mut served = Served::spawn(docket)?;
        served.answers(docket).await?;
        let until = Instant::now() + PATIENCE;
        loop {
            self.orders.start_all(&served).await;
            let left = served.unfinished(1000).await?;
            if left.is_empty() && self.orders.are_all_started() {
                break;
            }
            if Instant::now() > until {
                let (count, after) = (left.len(), PATIENCE.as_secs());
                let first: Vec<String> = left.into_iter().take(5).collect();
                let first = first.join(", ");
                bail!("{count} runs have not ended after {after} s, among them {first}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        served.end().await
    }

    fn tell(&self, tenant: &Tenant, round: u32) -> Result<()> {
        let seen = verdict::glance(tenant, &self.orders);
        if self.settings.is_telling {
            eprintln!(
                "round {round} of {}: {} kills, {} runs started, {} of {} mails sent, {} faults struck, {} s",
                self.settings.rounds,
                self.kills,
                self.orders.started(),
                seen.sent,
                seen.wanted,
                self.weather.struck(tenant.state()),
                self.began.elapsed().as_secs(),
            );
        }
        if let Some(subject) = seen.doubled {
            bail!("the mail {subject} was sent twice");
        }
        Ok(())
    }
}

/// When a process is killed.
#[derive(Clone, Copy)]
enum Life {
    /// So long after it was started, perhaps before it answers.
    FromStart(Duration),
    /// After so much work since it answered.
    FromAnswer(Busy),
}

/// A life that is measured by what it does, so that a slow machine sees as much done as a fast one.
#[derive(Clone, Copy)]
struct Busy {
    /// Requests that reach the tenant.
    requests: u64,
    /// And then so much longer.
    more: Duration,
}

/// How long a life lasts at most, whatever it does.
const LONGEST: Duration = Duration::from_secs(4);

impl Life {
    fn draw(round: u32, chance: &mut StdRng) -> Self {
        // Short ones are as likely as long ones, whatever the unit.
        let mut seconds = |least: f64, most: f64| {
            Duration::from_secs_f64(chance.random_range(least.ln()..most.ln()).exp())
        };
        let start = seconds(0.005, 0.5);
        let more = seconds(0.000_2, 0.05);
        let requests = 1 << chance.random_range(0..8);
        let busy = Busy {
            requests: chance.random_range(1..=requests),
            more,
        };
        match chance.random_bool(0.15) && round > 0 {
            true => Self::FromStart(start),
            false => Self::FromAnswer(busy),
        }
    }
}

impl Busy {
    async fn lasts(self, tenant: &Tenant) {
        let so_far = || tenant.state().throttle_counts().requests;
        let end = so_far() + self.requests;
        let done = async {
            while so_far() < end {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(self.more).await;
        };
        // What is not reached in time is ended all the same.
        let _ = tokio::time::timeout(LONGEST, done).await;
    }
}
