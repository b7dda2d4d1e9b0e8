//! The report that continuous integration reads: JUnit's XML, as Jenkins and GitLab describe it.

use std::fmt::Write as _;

use super::{Ended, Verdict};
use crate::xml::escaped;

/// The report of all cases; one suite for each file.
pub(super) fn report(ended: &[Ended]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for of_file in ended.chunk_by(|a, b| a.file == b.file) {
        // Writing to a string cannot fail.
        let _ = suite(&mut text, of_file);
    }
    text.push_str("</testsuites>\n");
    text
}

fn suite(text: &mut String, cases: &[Ended]) -> std::fmt::Result {
    let file = cases.first().map(|one| one.file.display().to_string());
    let file = escaped(&file.unwrap_or_default());
    let count = |is: fn(&Verdict) -> bool| cases.iter().filter(|one| is(&one.verdict)).count();
    let seconds: f64 = cases.iter().map(|one| one.took.as_secs_f64()).sum();
    writeln!(
        text,
        "  <testsuite name=\"{file}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{seconds:.3}\">",
        cases.len(),
        count(|verdict| matches!(verdict, Verdict::Failed(_))),
        count(|verdict| matches!(verdict, Verdict::Broken(_)))
    )?;
    for one in cases {
        let (name, seconds) = (escaped(&one.name), one.took.as_secs_f64());
        write!(
            text,
            "    <testcase classname=\"{file}\" name=\"{name}\" time=\"{seconds:.3}\""
        )?;
        let lines = escaped(&one.verdict.lines().join("\n"));
        match &one.verdict {
            Verdict::Passed => writeln!(text, "/>")?,
            Verdict::Failed(_) => writeln!(
                text,
                ">\n      <failure message=\"not as expected\">{lines}</failure>\n    </testcase>"
            )?,
            Verdict::Broken(_) => writeln!(
                text,
                ">\n      <error message=\"could not be run\">{lines}</error>\n    </testcase>"
            )?,
        }
    }
    writeln!(text, "  </testsuite>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn counts_and_escapes() {
        let one = |name: &str, verdict| Ended {
            file: "a.test.yaml".into(),
            name: name.to_owned(),
            took: Duration::from_millis(1500),
            verdict,
        };
        let text = report(&[
            one("good", Verdict::Passed),
            one(
                "<bad>",
                Verdict::Failed(vec!["- a & b".to_owned(), "+ \u{7}".to_owned()]),
            ),
            one("broken", Verdict::Broken("why".to_owned())),
        ]);
        for expected in [
            "tests=\"3\" failures=\"1\" errors=\"1\" time=\"4.500\"",
            "name=\"good\" time=\"1.500\"/>",
            "name=\"&lt;bad&gt;\"",
            "- a &amp; b\n+ \u{fffd}</failure>",
            "<error message=\"could not be run\">why</error>",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
    }
}
