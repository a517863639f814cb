//! The files of a Jsonnet program, all of them, in memory: what is rendered here is what travels in a token.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use rsjsonnet_lang::arena::Arena;
use rsjsonnet_lang::interner::StrInterner;
use rsjsonnet_lang::lexer::Lexer;
use rsjsonnet_lang::span::SpanManager;
use rsjsonnet_lang::token::{STokenKind, TokenKind};
use serde::{Deserialize, Serialize};
use terminal::file;

use super::JsonnetError;

/// Bytes that all files of a program may have together.
pub(crate) const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Where text that came from no file is kept.
const TEXT_NAME: &str = "/main.jsonnet";

/// The files of a program. Their names look absolute, below the deepest directory that holds them all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imports {
    /// The file that is rendered.
    pub entrypoint: String,
    /// Texts by name.
    pub files: BTreeMap<String, String>,
    /// Where the entry point lies on this host, which does not travel; unknown for what came from elsewhere.
    #[serde(skip)]
    pub directory: Option<PathBuf>,
}

impl Imports {
    /// A program that is `text` alone and imports nothing.
    pub fn of_text(text: &str) -> Imports {
        Imports {
            entrypoint: TEXT_NAME.to_owned(),
            files: BTreeMap::from([(TEXT_NAME.to_owned(), text.to_owned())]),
            directory: None,
        }
    }

    /// The program in the file at `path`, with everything that it imports.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is no UTF-8, or more than `MAX_BYTES` in all.
    pub fn of_path(path: &Path) -> Result<Imports, JsonnetError> {
        let entry = tidy(&std::path::absolute(path).map_err(|error| unreadable(path, &error))?);
        let mut texts: BTreeMap<PathBuf, String> = BTreeMap::new();
        let mut left = MAX_BYTES;
        let mut wanted = vec![entry.clone()];
        while let Some(path) = wanted.pop() {
            if texts.contains_key(&path) {
                continue;
            }
            let text = read(&path, &mut left)?;
            let directory = path.parent().unwrap_or(Path::new("/"));
            wanted.extend(imported(&text).iter().map(|import| tidy(&directory.join(import))));
            texts.insert(path, text);
        }
        let root = common_directory(texts.keys());
        let name = |path: &Path| match path.strip_prefix(&root) {
            Ok(rest) => format!("/{}", rest.display()),
            Err(_) => path.display().to_string(),
        };
        Ok(Imports {
            entrypoint: name(&entry),
            files: texts.iter().map(|(path, text)| (name(path), text.clone())).collect(),
            directory: entry.parent().map(Path::to_owned),
        })
    }

    /// The paths on this host of those files whose text has `part`.
    pub(crate) fn with_text(&self, part: &str) -> Vec<PathBuf> {
        let below = Path::new(&self.entrypoint).parent().map_or(0, |parent| parent.iter().skip(1).count());
        let Some(root) = self.directory.as_ref().and_then(|directory| directory.ancestors().nth(below))
        else {
            return Vec::new();
        };
        let found = self.files.iter().filter(|(_, text)| text.contains(part));
        found.map(|(name, _)| root.join(name.trim_start_matches('/'))).collect()
    }

    /// Where the entry point lies, for `getPath`; empty if that is unknown.
    pub(super) fn directory(&self) -> String {
        self.directory.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    }

    /// The file that `path` means in the file `importer`: relative to its directory, or with leading directories left
    /// out until there is such a file.
    pub(crate) fn resolve(&self, importer: &str, path: &str) -> Option<(&str, &str)> {
        let directory = Path::new(importer).parent().unwrap_or(Path::new("/"));
        let joined = tidy(&directory.join(path));
        let parts: Vec<_> = joined.components().filter(|part| *part != Component::RootDir).collect();
        (0..parts.len()).find_map(|skipped| {
            let name = format!("/{}", parts[skipped..].iter().collect::<PathBuf>().display());
            self.files.get_key_value(&name).map(|(name, text)| (name.as_str(), text.as_str()))
        })
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> JsonnetError {
    JsonnetError(format!("{}: cannot be read: {error}", path.display()))
}

fn read(path: &Path, left: &mut u64) -> Result<String, JsonnetError> {
    let mut text = String::new();
    let file = file::open_regular(path).map_err(|error| unreadable(path, &error))?;
    file.take(*left + 1).read_to_string(&mut text).map_err(|error| unreadable(path, &error))?;
    match left.checked_sub(text.len() as u64) {
        Some(rest) => *left = rest,
        None => {
            let limit = MAX_BYTES / 1024 / 1024;
            return Err(JsonnetError(format!(
                "{}: with it the program has more than {limit} MiB",
                path.display()
            )));
        }
    }
    Ok(text)
}

/// The paths that a file imports. A file that is no Jsonnet imports nothing; rendering says what is wrong with it.
fn imported(text: &str) -> Vec<String> {
    let (arena, tree) = (Arena::new(), Arena::new());
    let interner = StrInterner::new();
    let mut spans = SpanManager::new();
    let (context, _) = spans.insert_source_context(text.len());
    let Ok(tokens) =
        Lexer::new(&arena, &tree, &interner, &mut spans, context, text.as_bytes()).lex_to_eof(false)
    else {
        return Vec::new();
    };
    let is_import = |kind| {
        matches!(kind, TokenKind::Simple(STokenKind::Import | STokenKind::Importstr | STokenKind::Importbin))
    };
    let pairs = tokens.windows(2).filter(|pair| is_import(pair[0].kind));
    pairs
        .filter_map(|pair| match pair[1].kind {
            TokenKind::String(path) => Some(path.to_owned()),
            _ => None,
        })
        .collect()
}

/// The path without `.` and `..`, as it is written: links are not looked at.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => tidy.push(name),
            Component::ParentDir => {
                tidy.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    tidy
}

fn common_directory<'a>(mut paths: impl Iterator<Item = &'a PathBuf>) -> PathBuf {
    let mut common = paths.next().and_then(|path| path.parent()).unwrap_or(Path::new("/")).to_owned();
    for path in paths {
        while !path.starts_with(&common) {
            common.pop();
        }
    }
    common
}
