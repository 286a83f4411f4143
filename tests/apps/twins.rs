//! How little an app changes.

use std::fs;
use std::path::Path;

use similar::{ChangeTag, TextDiff};

const MOST_LINES: usize = 3;

#[test]
fn an_app_moves_over_by_its_use_lines() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut apps = 0;
    for entry in fs::read_dir(examples.join("plain")).unwrap() {
        let plain = entry.unwrap().path();
        let name = plain.file_name().unwrap();
        let ours = examples.join(name);
        assert!(ours.exists(), "{} has no twin", plain.display());

        let plain = fs::read_to_string(&plain).unwrap();
        let ours = fs::read_to_string(&ours).unwrap();
        let diff = TextDiff::from_lines(&plain, &ours);
        let changed = |tag| {
            diff.iter_all_changes()
                .filter(|change| change.tag() == tag)
                .map(|change| change.value())
                .collect::<Vec<_>>()
        };
        let (removed, added) = (changed(ChangeTag::Delete), changed(ChangeTag::Insert));
        let lines = removed.len().max(added.len());
        println!("{}: {lines} of {}", name.display(), ours.lines().count());
        removed.iter().for_each(|line| print!("  - {line}"));
        added.iter().for_each(|line| print!("  + {line}"));
        assert!(
            (1..=MOST_LINES).contains(&lines),
            "{} differs in {lines} lines from its twin",
            name.display()
        );
        apps += 1;
    }
    assert!(apps >= 7, "only {apps} apps");
}
