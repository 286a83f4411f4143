//! Arrays in PostgreSQL's text.

/// The elements of an array of one dimension; `None` for one of more.
pub(super) fn elements(text: &str) -> Option<Vec<Option<String>>> {
    // Bounds stand before it where they do not begin at 1: `[0:1]={1,2}`.
    let body = match text.starts_with('[') {
        true => text.split_once('=').map_or(text, |(_, body)| body),
        false => text,
    };
    let mut characters = body.strip_prefix('{')?.chars().peekable();
    let mut elements = Vec::new();
    loop {
        match characters.peek()? {
            '}' => return Some(elements),
            '{' => return None,
            ',' => {
                characters.next();
                continue;
            }
            _ => {}
        }
        let mut element = String::new();
        let is_quoted = characters.next_if_eq(&'"').is_some();
        while let Some(&character) = characters.peek() {
            match character {
                '"' if is_quoted => break,
                ',' | '}' if !is_quoted => break,
                _ => {}
            }
            characters.next();
            match character {
                '\\' => element.extend(characters.next()),
                _ => element.push(character),
            }
        }
        if is_quoted {
            characters.next();
        }
        let is_null = !is_quoted && element == "NULL";
        elements.push((!is_null).then_some(element));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(texts: &[&str]) -> Option<Vec<Option<String>>> {
        Some(texts.iter().map(|text| Some((*text).to_owned())).collect())
    }

    #[test]
    fn elements_are_found() {
        assert_eq!(elements("{}"), some(&[]));
        assert_eq!(elements("{1,-2}"), some(&["1", "-2"]));
        assert_eq!(elements("[0:1]={1,2}"), some(&["1", "2"]));
        assert_eq!(
            elements(r#"{"","a,b","}","NULL"}"#),
            some(&["", "a,b", "}", "NULL"])
        );
        assert_eq!(elements(r#"{"a\"b\\c"}"#), some(&["a\"b\\c"]));
        assert_eq!(elements("{NULL,a}"), Some(vec![None, Some("a".into())]));
        assert_eq!(elements("{{1},{2}}"), None);
    }
}
