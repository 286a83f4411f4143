//! A command, quoted for the guard's shell.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

/// The words of one command, as one line of shell.
#[derive(Debug, Clone)]
pub(crate) struct CommandLine(Vec<u8>);

impl CommandLine {
    /// A line that runs `program`.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self(quote(program.as_ref().as_bytes()))
    }

    /// A line that runs `program` with some environment variables added to those it inherits.
    pub(crate) fn with_environment<'a>(
        variables: impl IntoIterator<Item = &'a (String, String)>,
        program: impl AsRef<OsStr>,
    ) -> Self {
        let assignments = variables
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"));
        Self::new("env").args(assignments).arg(program)
    }

    pub(crate) fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.0.push(b' ');
        self.0.extend(quote(word.as_ref().as_bytes()));
        self
    }

    pub(crate) fn args(self, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        words.into_iter().fold(self, Self::arg)
    }

    /// The line, without its end.
    ///
    /// # Errors
    ///
    /// The guard reads line by line, so a word that contains one's end cannot be passed.
    pub(crate) fn as_bytes(&self) -> io::Result<&[u8]> {
        if self.0.contains(&b'\n') {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a line break in a command",
            ));
        }
        Ok(&self.0)
    }
}

/// Within single quotes a shell leaves everything as it is, except the single quote.
fn quote(word: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for &byte in word {
        match byte {
            b'\'' => quoted.extend(br"'\''"),
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_the_words_that_were_put_in() {
        let words = ["plain", "two words", "it's", "$HOME `id` \\ \"", ""];
        let line = CommandLine::new("printf").arg("%s|").args(words);
        let output = std::process::Command::new("/bin/sh")
            .arg("-c")
            .arg(OsStr::from_bytes(line.as_bytes().unwrap()))
            .output()
            .unwrap();
        let expected = words.map(|word| format!("{word}|")).concat();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }

    #[test]
    fn a_line_break_is_refused() {
        assert!(CommandLine::new("echo").arg("a\nb").as_bytes().is_err());
    }
}
