//! Pictures of made-up workflows.

use super::*;

fn node(id: &str) -> Node {
    Node {
        id: id.to_owned(),
        uses: "exchange/send".to_owned(),
        account: Some("contoso".to_owned()),
        condition: None,
        each: None,
        is_wait: false,
        may_fail: false,
    }
}

fn graph() -> Graph {
    Graph {
        title: "a <b> & \"c\"".to_owned(),
        triggers: vec!["webhook".to_owned()],
        inputs: vec!["to".to_owned()],
        steps: vec![
            node("first"),
            Node {
                each: Some(("steps.first.output.messages".to_owned(), 4)),
                condition: Some("item.size < 5 && \"x\" != ''".to_owned()),
                ..node("second")
            },
            Node {
                is_wait: true,
                account: None,
                may_fail: true,
                ..node("third")
            },
        ],
        on_error: vec![node("tell"), node("log")],
        outputs: Vec::new(),
    }
}

#[test]
fn svg_shows_everything_and_is_well_formed() {
    let picture = svg(&graph());
    for expected in [
        "<title>a &lt;b&gt; &amp; &quot;c&quot;</title>",
        ">on: webhook<",
        ">inputs: to<",
        ">no outputs<",
        ">for each of steps.first.output…, 4 at a time<",
        ">if item.size &lt; 5 &amp;&amp; &quot;x&quot; != ''<",
        ">may fail<",
        ">the run fails<",
        "prefers-color-scheme: dark",
    ] {
        assert!(picture.contains(expected), "{expected}\n{picture}");
    }
    // Well formed: each name stands where the other steps' do not.
    for name in ["first", "second", "third", "tell", "log"] {
        assert_eq!(
            picture.matches(&format!(">{name}</text>")).count(),
            1,
            "{name}"
        );
    }
    assert!(!picture.contains("NaN") && picture.ends_with("</svg>\n"));
}

#[test]
fn mermaid_quotes_what_it_could_not_read() {
    let text = mermaid(&graph());
    for expected in [
        "title: \"a <b> & \\\"c\\\"\"",
        "on([\"on: webhook\"])",
        "on --> start",
        "start([\"inputs: to\"])",
        "subgraph step1each[\"for each of steps.first.output…, 4 at a time\"]",
        "if item.size #lt; 5 #amp;#amp; #quot;x#quot; != ''",
        "step1 --> step2",
        "step2 --> finish",
        "step0 -. the run fails .-> error0",
        "error0 --> error1",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn long_lines_are_cut() {
    assert_eq!(cut("a\n  b", 10), "a b");
    assert_eq!(cut("äöüäöü", 4), "äöü…");
    assert_eq!(shortened(&"x".repeat(99)).chars().count(), LONGEST);
}
