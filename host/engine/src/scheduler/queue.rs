//! Which run is driven next: pure, and the only judge of it.

use std::collections::{HashMap, HashSet, VecDeque};

use docket_model::RunId;

use crate::Ready;

/// Runs that are ready, by workflow, and those that are driven.
///
/// Workflows take turns, so that a thousand runs of one keep no run of another waiting. A run of a
/// group that is full stands aside until a place is free, and keeps its turn before those that came
/// later. Every call costs the same, however many runs there are.
pub(super) struct Queue {
    at_once: usize,
    driven: HashMap<RunId, Driven>,
    queued: HashSet<RunId>,
    /// The runs of each workflow that may begin, as far as is known.
    workflows: HashMap<String, VecDeque<Ready>>,
    /// The workflows that have any, in the order of their turns.
    turns: VecDeque<String>,
    groups: HashMap<Group, State>,
}

/// A workflow and the key of one of its groups.
type Group = (String, String);

#[derive(Default)]
struct State {
    /// The runs that have begun and not ended.
    holders: HashSet<RunId>,
    /// The runs that stand aside.
    aside: VecDeque<Ready>,
}

struct Driven {
    ready: Ready,
    /// It became ready again meanwhile.
    is_ready_again: bool,
}

impl Queue {
    pub(super) fn new(at_once: usize) -> Self {
        Self {
            at_once: at_once.max(1),
            driven: HashMap::new(),
            queued: HashSet::new(),
            workflows: HashMap::new(),
            turns: VecDeque::new(),
            groups: HashMap::new(),
        }
    }

    /// Notes that a run that waits holds a place of its group.
    pub(super) fn hold(&mut self, ready: &Ready) {
        if let (Some(group), true) = (group(ready), ready.has_begun) {
            let state = self.groups.entry(group).or_default();
            state.holders.insert(ready.run.clone());
        }
    }

    /// Adds a run, unless it is here already.
    pub(super) fn add(&mut self, ready: Ready) {
        if let Some(driven) = self.driven.get_mut(&ready.run) {
            driven.is_ready_again = true;
        } else if self.queued.insert(ready.run.clone()) {
            self.hold(&ready);
            self.push(ready, VecDeque::push_back);
        }
    }

    /// The next run to drive, if one may be.
    pub(super) fn take(&mut self) -> Option<RunId> {
        if self.driven.len() >= self.at_once {
            return None;
        }
        loop {
            let workflow = self.turns.pop_front()?;
            let runs = self.workflows.get_mut(&workflow)?;
            let ready = runs.pop_front();
            match runs.is_empty() {
                true => {
                    self.workflows.remove(&workflow);
                }
                false => self.turns.push_back(workflow),
            }
            let Some(ready) = ready else { continue };
            if let (Some(key), Some(limits)) = (group(&ready), &ready.group) {
                let state = self.groups.entry(key).or_default();
                let is_holder = state.holders.contains(&ready.run);
                let held = u32::try_from(state.holders.len()).unwrap_or(u32::MAX);
                if !is_holder && held >= limits.max {
                    state.aside.push_back(ready);
                    continue;
                }
                state.holders.insert(ready.run.clone());
            }
            let run = ready.run.clone();
            self.queued.remove(&run);
            let driven = Driven {
                ready,
                is_ready_again: false,
            };
            self.driven.insert(run.clone(), driven);
            return Some(run);
        }
    }

    /// Notes that a run has ended: its place is free.
    pub(super) fn ended(&mut self, run: &RunId) {
        let Some(driven) = self.driven.remove(run) else {
            return;
        };
        if let Some(key) = group(&driven.ready) {
            let next = self.groups.get_mut(&key).and_then(|state| {
                state.holders.remove(run);
                state.aside.pop_front()
            });
            match next {
                Some(next) => self.push(next, VecDeque::push_front),
                None => {
                    let is_empty = |state: &State| state.holders.is_empty();
                    if self.groups.get(&key).is_some_and(is_empty) {
                        self.groups.remove(&key);
                    }
                }
            }
        }
        // Resumed as soon as it had ended, and without a place.
        if driven.is_ready_again {
            self.add(Ready {
                has_begun: false,
                ..driven.ready
            });
        }
    }

    /// Notes that a run is not driven any more, and not over; its place stays its own. Gives it,
    /// unless it is to be driven again at once.
    pub(super) fn rests(&mut self, run: &RunId) -> Option<Ready> {
        let driven = self.driven.remove(run)?;
        let ready = Ready {
            has_begun: true,
            ..driven.ready
        };
        if driven.is_ready_again {
            self.add(ready);
            return None;
        }
        Some(ready)
    }

    fn push(&mut self, ready: Ready, place: impl FnOnce(&mut VecDeque<Ready>, Ready)) {
        let workflow = ready.workflow.clone();
        let runs = self.workflows.entry(workflow.clone()).or_default();
        if runs.is_empty() {
            self.turns.push_back(workflow);
        }
        place(runs, ready);
    }
}

fn group(ready: &Ready) -> Option<Group> {
    let group = ready.group.as_ref()?;
    Some((ready.workflow.clone(), group.key.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use docket_model::RunGroup;

    fn ready(text: &str) -> Ready {
        // `workflow/run`, `workflow/run@group:max`, with a `!` where the run has begun.
        let has_begun = text.ends_with('!');
        let text = text.trim_end_matches('!');
        let (workflow, rest) = text.split_once('/').unwrap();
        let (run, group) = match rest.split_once('@') {
            None => (rest, None),
            Some((run, group)) => {
                let (key, max) = group.split_once(':').unwrap();
                let max = max.parse().unwrap();
                let key = key.to_owned();
                (run, Some(RunGroup { key, max }))
            }
        };
        Ready {
            run: run.parse().unwrap(),
            workflow: workflow.to_owned(),
            group,
            has_begun,
        }
    }

    fn queue(at_once: usize, runs: &str) -> Queue {
        let mut queue = Queue::new(at_once);
        runs.split_whitespace()
            .for_each(|run| queue.add(ready(run)));
        queue
    }

    fn taken(queue: &mut Queue) -> String {
        let mut all = Vec::new();
        while let Some(run) = queue.take() {
            all.push(run.to_string());
        }
        all.join(" ")
    }

    fn run(id: &str) -> RunId {
        id.parse().unwrap()
    }

    #[test]
    fn workflows_take_turns() {
        let mut queue = queue(9, "w/a1 w/a2 w/a3 v/b1 w/a4 u/c1");
        assert_eq!(taken(&mut queue), "a1 b1 c1 a2 a3 a4");
    }

    #[test]
    fn no_more_are_driven_than_allowed_and_none_twice() {
        let mut queue = queue(2, "w/a w/b w/c w/a");
        assert_eq!(taken(&mut queue), "a b");
        queue.add(ready("w/c"));
        queue.ended(&run("a"));
        assert_eq!(taken(&mut queue), "c");
        queue.add(ready("w/b"));
        assert!(queue.rests(&run("b")).is_none(), "it is ready again");
        assert_eq!(taken(&mut queue), "b");
        assert!(queue.rests(&run("b")).is_some());
        assert_eq!(taken(&mut queue), "");
    }

    #[test]
    fn a_group_has_no_more_runs_under_way_than_it_may() {
        let mut queue = queue(9, "w/a@k:1 w/b@k:1 w/c@k:1 w/d@other:1 v/e@k:1 w/f");
        assert_eq!(taken(&mut queue), "a e d f", "groups are a workflow's own");
        queue.rests(&run("a"));
        assert_eq!(taken(&mut queue), "", "a run that waits keeps its place");
        queue.add(ready("w/a@k:1!"));
        assert_eq!(taken(&mut queue), "a");
        queue.ended(&run("a"));
        assert_eq!(taken(&mut queue), "b");
        queue.ended(&run("b"));
        queue.add(ready("w/x@k:1"));
        assert_eq!(taken(&mut queue), "c", "the one that came first");
        queue.ended(&run("c"));
        assert_eq!(taken(&mut queue), "x");
    }

    #[test]
    fn places_are_held_by_runs_that_began_before_the_start() {
        let mut queue = Queue::new(9);
        queue.hold(&ready("w/parked@k:2!"));
        queue.add(ready("w/new@k:2"));
        queue.add(ready("w/begun@k:2!"));
        assert_eq!(taken(&mut queue), "begun");
        queue.add(ready("w/parked@k:2!"));
        assert_eq!(taken(&mut queue), "parked");
        queue.ended(&run("parked"));
        assert_eq!(taken(&mut queue), "new");
    }

    #[test]
    fn a_hundred_thousand_that_stand_aside_cost_little() {
        let mut queue = Queue::new(64);
        for number in 0..100_000 {
            queue.add(ready(&format!("w/r{number}@k:1")));
        }
        for number in 0..100_000 {
            let next = queue.take().unwrap();
            assert_eq!(next, run(&format!("r{number}")));
            assert_eq!(queue.take(), None);
            queue.ended(&next);
        }
    }
}
