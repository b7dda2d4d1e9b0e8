//! Torn logs and full disks: what was synced is there, what is there is a prefix, and nothing else.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::Command;

use docket_engine::{Durability, EventStore, RunFilter, StoreError, Verdict};
use docket_journal::SqliteStore;
use docket_model::{Digest, Event, EventKind, RunId, StepPath};
use jiff::Timestamp;
use tempfile::TempDir;

fn event(kind: EventKind) -> Event {
    Event {
        at: Timestamp::UNIX_EPOCH,
        kind,
    }
}

fn started(size: usize) -> Event {
    event(EventKind::RunStarted {
        workflow: "w".to_owned(),
        plan: Digest::of(b"plan"),
        inputs: "x".repeat(size).into(),
        group: None,
    })
}

fn skipped(step: usize) -> Event {
    event(EventKind::StepSkipped {
        path: StepPath {
            step: format!("step-{step}").into(),
            item: None,
        },
    })
}

fn run(number: usize) -> RunId {
    format!("r-{number}").parse().unwrap()
}

/// A folder in memory where the system has one: thousands of journals are opened here.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

/// How many runs take turns.
const RUNS: usize = 3;
const APPENDS: usize = 24;

/// A journal as a crash leaves it: its files, and how long its log was after each append.
struct Left {
    database: Vec<u8>,
    log: Vec<u8>,
    lengths: Vec<usize>,
}

/// The n-th append: the events of the runs come in turns, each append synced.
fn appended(number: usize) -> (RunId, u64, Event) {
    let (turn, run_number) = (number / RUNS, number % RUNS);
    let event = match turn {
        0 => started(100),
        // Now and then one that needs pages of its own.
        _ if number.is_multiple_of(7) => event(EventKind::ItemsExpanded {
            step: "s".into(),
            items: vec!["x".repeat(9_000).into()],
        }),
        _ => skipped(number),
    };
    (run(run_number), turn as u64, event)
}

async fn left() -> Left {
    let folder = folder();
    let path = folder.path().join("journal.db");
    let log = folder.path().join("journal.db-wal");
    let store = SqliteStore::open(&path).unwrap();
    let mut lengths = Vec::new();
    for number in 0..APPENDS {
        let (run, first, event) = appended(number);
        store
            .append(&run, first, &[event], Durability::Synced)
            .await
            .unwrap();
        lengths.push(usize::try_from(std::fs::metadata(&log).unwrap().len()).unwrap());
    }
    Left {
        database: std::fs::read(&path).unwrap(),
        log: std::fs::read(&log).unwrap(),
        lengths,
    }
}

/// Opens what is left with this log. Its events must be the first so many, at least `least` of them,
/// and their records intact.
async fn check(left: &Left, log: &[u8], least: usize, what: &str) {
    let folder = folder();
    let path = folder.path().join("journal.db");
    std::fs::write(&path, &left.database).unwrap();
    std::fs::write(folder.path().join("journal.db-wal"), log).unwrap();
    let store = SqliteStore::open(&path).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut kept = Vec::new();
    for number in 0..RUNS {
        let events = store.events(&run(number)).await.unwrap();
        let verdict = store.verify(&run(number)).await.unwrap();
        let is_whole = match verdict {
            Verdict::Intact { events: count, .. } => count == events.len() as u64,
            Verdict::Unknown => events.is_empty(),
            Verdict::Broken { .. } => false,
        };
        assert!(is_whole, "{what}: run {number}: {verdict:?}");
        kept.push(events);
    }
    let count: usize = kept.iter().map(Vec::len).sum();
    assert!(
        count >= least,
        "{what}: {count} appends are left, not {least}"
    );
    for number in 0..count {
        let (_, place, event) = appended(number);
        let place = usize::try_from(place).unwrap();
        let found = kept[number % RUNS].get(place);
        assert_eq!(found, Some(&event), "{what}: append {number} of {count}");
    }
    // It goes on where it stands.
    let (run, first, event) = appended(count);
    store
        .append(&run, first, &[event], Durability::Synced)
        .await
        .unwrap();
}

/// The places of the log's tail: all around the borders of its frames, and many between.
fn places(left: &Left) -> Vec<usize> {
    // The file format's header, and a frame: its own header and a page.
    const HEADER: usize = 32;
    const FRAME_HEADER: usize = 24;
    const FRAME: usize = FRAME_HEADER + 4096;
    let tail = left.lengths[left.lengths.len() - 4];
    let end = left.log.len();
    let mut places: Vec<usize> = (tail..=end).step_by(113).collect();
    for frame in (HEADER..=end).step_by(FRAME) {
        places.extend([frame.saturating_sub(1), frame, frame + 1]);
        places.extend([
            frame + FRAME_HEADER - 1,
            frame + FRAME_HEADER,
            frame + FRAME_HEADER + 1,
        ]);
    }
    places.retain(|place| (tail..=end).contains(place));
    places.sort_unstable();
    places.dedup();
    places
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_the_end_of_the_log_a_prefix_is_left() {
    let left = left().await;
    let places = places(&left);
    assert!(places.len() > 200, "{}", places.len());
    for (number, place) in places.into_iter().enumerate() {
        // What was synced before is there, whatever happened behind it.
        let least = left.lengths.partition_point(|length| *length <= place);
        let cut = &left.log[..place];
        check(&left, cut, least, &format!("cut at {place}")).await;
        let rest = left.log.len() - place;
        // Each place gets one kind of damage more.
        if let Some(junk) = [Some(0x00), Some(0xa5), None][number % 3] {
            let scribbled = [cut, &vec![junk; rest]].concat();
            let what = format!("{junk:#x} from {place} on");
            check(&left, &scribbled, least, &what).await;
        }
        if number % 3 == 2 && rest > 0 {
            let mut flipped = left.log.clone();
            flipped[place] ^= 0x10;
            check(&left, &flipped, least, &format!("a bit at {place}")).await;
        }
    }
}

/// Where the journal is that the process of the next test is to fill.
const TO_FILL: &str = "DOCKET_TEST_JOURNAL";

/// Fills the disk, for the test below, which runs it in a process of its own.
#[tokio::test]
#[ignore = "fills a disk, for the test of full disks"]
async fn fills_the_disk() {
    let Some(path) = std::env::var_os(TO_FILL) else {
        return;
    };
    let store = SqliteStore::open(Path::new(&path)).unwrap();
    for number in 0..10_000 {
        let run = run(number);
        let events = [started(3_000), skipped(number)];
        if let Err(error) = store.append(&run, 0, &events, Durability::Synced).await {
            let again = store.append(&run, 0, &events, Durability::Ordered).await;
            assert!(again.is_err(), "no gap may be left");
            let first = store.events(&self::run(0)).await.unwrap();
            assert_eq!(first.len(), 2, "what is there can be read");
            println!("kept {number}: {error}");
            return;
        }
    }
    panic!("the disk is not full");
}

/// A small disk in memory, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this process may not mount any.
    fn mount(at: &Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "docket-test"])
            .arg(at)
            .output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        is_mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A disk that is really full, or where this process may mount none, the system's limit of a file's
/// size. Nothing that was recorded is lost once there is room again.
#[cfg(unix)]
#[tokio::test]
async fn a_disk_without_room_loses_nothing_that_was_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let this = std::env::current_exe().unwrap();
    let disk = SmallDisk::mount(folder.path());
    let ballast = folder.path().join("ballast");
    let mut fill = match &disk {
        Some(_) => {
            std::fs::write(&ballast, vec![7; 300_000]).unwrap();
            Command::new(this)
        }
        None => {
            let mut shell = Command::new("sh");
            let limited = "trap '' XFSZ; ulimit -f 8192; exec \"$0\" \"$@\"";
            shell.args(["-c", limited]).arg(this);
            shell
        }
    };
    let path = folder.path().join("journal.db");
    let filled = fill
        .args(["--exact", "fills_the_disk", "--ignored", "--nocapture"])
        .env(TO_FILL, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&filled.stdout).into_owned();
    assert!(filled.status.success(), "{said}{filled:?}");
    let kept = said.split("kept ").nth(1).unwrap();
    let (kept, why) = kept.split_once(':').unwrap();
    let kept: usize = kept.parse().unwrap();
    assert!(kept > 10, "{said}");
    if disk.is_some() {
        assert!(why.contains("the disk is full"), "{why}");
        let refused = SqliteStore::open(&path).map(|_store| ()).err();
        assert!(
            refused.is_none_or(|error| matches!(error, StoreError::Full(_) | StoreError::Io(_))),
            "a full disk damages nothing"
        );
        std::fs::remove_file(ballast).unwrap();
    }
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.runs(RunFilter::default()).await.unwrap().len(), kept);
    for number in 0..kept {
        let events = store.events(&run(number)).await.unwrap();
        assert_eq!(events, [started(3_000), skipped(number)]);
        let verdict = store.verify(&run(number)).await.unwrap();
        assert!(
            matches!(verdict, Verdict::Intact { events: 2, .. }),
            "{verdict:?}"
        );
    }
    let next = [started(1)];
    store
        .append(&run(kept), 0, &next, Durability::Synced)
        .await
        .unwrap();
}
