use std::str::Chars;

/// Which way of quoting holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    MySql,
}

/// A piece of SQL that is not quoted, no comment and no white space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A key word, a name or a number, in lower case. Quoted names are left out: none is a key
    /// word.
    Word(String),
    Symbol(char),
    /// A literal or a quoted name.
    Quoted,
    /// A MySQL comment that is executed.
    ExecutableComment,
}

impl Token {
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(own) if own == word)
    }
}

/// The statements of a text, each as its tokens.
pub(super) fn statements(sql: &str, dialect: Dialect) -> Vec<Vec<Token>> {
    tokens(sql, dialect)
        .split(|token| *token == Token::Symbol(';'))
        .filter(|statement| !statement.is_empty())
        .map(<[Token]>::to_vec)
        .collect()
}

fn tokens(sql: &str, dialect: Dialect) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = sql.chars();
    while let Some(first) = rest.next() {
        let text = rest.as_str();
        match first {
            _ if first.is_whitespace() => {}
            '-' if text.starts_with('-') => skip_line(&mut rest),
            '#' if dialect == Dialect::MySql => skip_line(&mut rest),
            '/' if text.starts_with('*') => {
                let executable = text.starts_with("*!") || text.starts_with("*M!");
                if executable && dialect == Dialect::MySql {
                    tokens.push(Token::ExecutableComment);
                }
                rest = match text[1..].split_once("*/") {
                    Some((_, after)) => after.chars(),
                    None => "".chars(),
                };
            }
            '\'' | '"' | '`' => {
                skip_quoted(&mut rest, first, dialect);
                tokens.push(Token::Quoted);
            }
            '$' if dialect == Dialect::Postgres => {
                if let Some(after) = after_dollar_quoted(text) {
                    rest = after.chars();
                    tokens.push(Token::Quoted);
                }
            }
            _ if first == '_' || first.is_alphanumeric() => {
                let length = text
                    .find(|c: char| c != '_' && c != '$' && !c.is_alphanumeric())
                    .unwrap_or(text.len());
                let word = format!("{first}{}", &text[..length]).to_lowercase();
                tokens.push(Token::Word(word));
                rest = text[length..].chars();
            }
            symbol => tokens.push(Token::Symbol(symbol)),
        }
    }
    tokens
}

fn skip_line(rest: &mut Chars<'_>) {
    rest.find(|c| *c == '\n');
}

/// Doubled quotes end one text and begin the next, which comes to the same.
fn skip_quoted(rest: &mut Chars<'_>, quote: char, dialect: Dialect) {
    while let Some(c) = rest.next() {
        if c == quote {
            return;
        }
        if c == '\\' && dialect == Dialect::MySql && quote != '`' {
            rest.next();
        }
    }
}

/// What follows `$tag$ ... $tag$`, of which the first `$` is gone.
fn after_dollar_quoted(text: &str) -> Option<&str> {
    let (tag, body) = text.split_once('$')?;
    let is_tag = tag.chars().all(|c| c == '_' || c.is_alphanumeric())
        && !tag.starts_with(|c: char| c.is_ascii_digit());
    let (_, after) = is_tag.then(|| body.split_once(&format!("${tag}$")))??;
    Some(after)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(sql: &str, dialect: Dialect) -> Vec<String> {
        let words = tokens(sql, dialect).into_iter();
        words
            .filter_map(|token| match token {
                Token::Word(word) => Some(word),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn what_is_quoted_or_a_comment_holds_no_words() {
        for sql in [
            "a 'b; c' d",
            "A \"b\" d",
            "a -- b\nd",
            "a /* b; */ d",
            "a 'it''s b' d",
            "a $$ b $$ d",
            "a $x$ b $$ c $x$ d",
        ] {
            assert_eq!(words(sql, Dialect::Postgres), ["a", "d"], "{sql}");
        }
        for sql in ["a `b` d", "a # b\nd", r"a 'b\' c' d", "a /*! b */ d"] {
            assert_eq!(words(sql, Dialect::MySql), ["a", "d"], "{sql}");
        }
        assert_eq!(words("a $1, $2 d", Dialect::Postgres), ["a", "1", "2", "d"]);
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(sql in ".*") {
            tokens(&sql, Dialect::Postgres);
            tokens(&sql, Dialect::MySql);
        }

        #[test]
        fn nothing_is_left_open(sql in r#"[a'"`$/*#; \\-]*"#) {
            tokens(&sql, Dialect::Postgres);
            tokens(&sql, Dialect::MySql);
        }
    }
}
