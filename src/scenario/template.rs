//! The file that `proclab new` writes: small, complete, and a place to start from.

/// The text of a new scenario. `name` is the file's stem, `topic` its folder.
pub fn template(name: &str, topic: &str) -> String {
    let title = name.replace('-', " ");
    let mut chars = title.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\'));
    let title: String = chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect());
    let title = if title.trim().is_empty() { "Untitled" } else { &title };
    let topic: String =
        topic.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' }).collect();
    let topic = if topic.starts_with(|c: char| c.is_ascii_alphabetic()) { topic } else { format!("topic-{topic}") };
    TEMPLATE.replace("TITLE", title).replace("TOPIC", &topic)
}

const TEMPLATE: &str = r#"title "TITLE"
topic TOPIC
level 1
story """
    Say in two to eight lines what happens here and what to watch for. This is Markdown:
    `fork` makes a second process, and both hold **both** ends of the pipe.
    """
see "pipe(2)" "fork(2)"

process parent {
    pipe p
    fork child {
        close p.write
        read p.read until=eof
        exit 0
    }
    close p.read
    write p.write "hello\n"
    close p.write
    wait child
}

predict "How many bytes does the child read?" {
    choice "5"
    choice "6" right=#true
    because "The line feed counts."
}

expect {
    moved p bytes=6
    exited child code=0
    clean
}
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{lint, parse};

    #[test]
    fn a_new_scenario_is_without_fault() {
        for (name, topic) in [("two-pipes", "pipes"), ("a\"b\\c", "my topic"), ("", ""), ("é\n", "7")] {
            let text = template(name, topic);
            let scenario = parse("x/y", "new.kdl", &text).expect("parses");
            let path = std::path::PathBuf::from(format!("{}/x.kdl", scenario.topic));
            assert_eq!(lint(&scenario, Some(&path)), []);
        }
        assert!(template("two-pipes", "pipes").starts_with("title \"Two pipes\"\ntopic pipes\n"));
    }
}
