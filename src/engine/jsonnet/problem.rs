//! What is wrong with a program, in words and with file, line and column.

use std::rc::Rc;

use rsjsonnet_lang::lexer::LexError;
use rsjsonnet_lang::parser::ParseError;
use rsjsonnet_lang::program::{AnalyzeError, EvalError, EvalErrorKind, EvalStackTraceItem, LoadError};
use rsjsonnet_lang::span::{SourceId, SpanContext, SpanId, SpanManager};

use super::{CallbackError, JsonnetError};

/// The files that were loaded.
#[derive(Default)]
pub(super) struct Sources {
    loaded: Vec<Loaded>,
}

struct Loaded {
    source: SourceId,
    name: Rc<str>,
    text: Rc<str>,
    /// Bytes at the begin of the text that are not the file's.
    skipped: usize,
}

impl Sources {
    pub(super) fn add(&mut self, source: SourceId, name: Rc<str>, text: Rc<str>, skipped: usize) {
        self.loaded.push(Loaded { source, name, text, skipped });
    }

    /// The name of the file that holds `span`; empty for the standard library.
    pub(super) fn name(&self, spans: &SpanManager, span: SpanId) -> Rc<str> {
        self.find(spans, span).map(|(name, _, _)| name).unwrap_or_else(|| Rc::from(""))
    }

    pub(super) fn load_error(&self, spans: &SpanManager, error: &LoadError) -> JsonnetError {
        let (span, what) = match error {
            LoadError::Lex(error) => lex(error),
            LoadError::Parse(ParseError::Expected { span, .. }) => {
                (*span, "something else is expected here".to_owned())
            }
            LoadError::Analyze(error) => analyze(error),
        };
        JsonnetError(self.placed(spans, Some(span), &what))
    }

    /// `failure` is why a callback failed, if one did.
    pub(super) fn eval_error(
        &self,
        spans: &SpanManager,
        error: &EvalError,
        failure: Option<CallbackError>,
    ) -> JsonnetError {
        let failure = failure.map(|failure| failure.to_string());
        let (span, what) = match &error.kind {
            EvalErrorKind::ExplicitError { span, message } => (Some(*span), format!("error: {message}")),
            EvalErrorKind::AssertFailed { span, message } => {
                let message = message.as_deref().unwrap_or("an assertion does not hold");
                (Some(*span), message.to_owned())
            }
            EvalErrorKind::UnknownObjectField { span, field_name } => {
                (Some(*span), format!("there is no field `{field_name}`"))
            }
            EvalErrorKind::CallParamNotBound { span, param_name } => {
                (*span, format!("the argument `{param_name}` is missing"))
            }
            EvalErrorKind::UnknownCallParam { span, param_name } => {
                (*span, format!("there is no parameter `{param_name}`"))
            }
            EvalErrorKind::ImportFailed { span, path } => {
                (Some(*span), failure.unwrap_or_else(|| format!("`{path}` cannot be imported")))
            }
            EvalErrorKind::NativeCallFailed => (None, failure.unwrap_or_else(|| words(&error.kind))),
            EvalErrorKind::StackOverflow => (None, "calls are nested too deep".to_owned()),
            EvalErrorKind::ManifestFunction => (None, "a function cannot become JSON".to_owned()),
            EvalErrorKind::Other { span, message } => (*span, message.clone()),
            other => (None, words(other)),
        };
        let of_trace =
            || error.stack_trace.iter().filter_map(traced).rfind(|span| self.find(spans, *span).is_some());
        JsonnetError(self.placed(spans, span.or_else(of_trace), &what))
    }

    fn placed(&self, spans: &SpanManager, span: Option<SpanId>, what: &str) -> String {
        match span.and_then(|span| self.find(spans, span)) {
            Some((name, line, column)) => format!("{name}:{line}:{column}: {what}"),
            None => what.to_owned(),
        }
    }

    /// File, line and column, the latter two from 1.
    fn find(&self, spans: &SpanManager, span: SpanId) -> Option<(Rc<str>, usize, usize)> {
        let (context, start, _) = spans.get_span(span);
        let SpanContext::Source(source) = spans.get_context(context);
        let Loaded { name, text, skipped, .. } =
            self.loaded.iter().find(|loaded| loaded.source == *source)?;
        let before = text.get(*skipped..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[line_start..].chars().count() + 1;
        Some((Rc::clone(name), before.matches('\n').count() + 1, column))
    }
}

fn traced(item: &EvalStackTraceItem) -> Option<SpanId> {
    match item {
        EvalStackTraceItem::Expr { span }
        | EvalStackTraceItem::Variable { span, .. }
        | EvalStackTraceItem::Import { span } => Some(*span),
        EvalStackTraceItem::Call { span, .. }
        | EvalStackTraceItem::ArrayItem { span, .. }
        | EvalStackTraceItem::ObjectField { span, .. } => *span,
        EvalStackTraceItem::CompareArrayItem { .. }
        | EvalStackTraceItem::CompareObjectField { .. }
        | EvalStackTraceItem::ManifestArrayItem { .. }
        | EvalStackTraceItem::ManifestObjectField { .. } => None,
    }
}

fn lex(error: &LexError) -> (SpanId, String) {
    let (LexError::InvalidChar { span, .. }
    | LexError::InvalidUtf8 { span, .. }
    | LexError::UnfinishedMultilineComment { span }
    | LexError::LeadingZeroInNumber { span }
    | LexError::MissingFracDigits { span }
    | LexError::MissingExpDigits { span }
    | LexError::MissingDigitAfterUnderscore { span }
    | LexError::ExpOverflow { span }
    | LexError::InvalidEscapeInString { span, .. }
    | LexError::IncompleteUnicodeEscape { span }
    | LexError::InvalidUtf16EscapeSequence { span, .. }
    | LexError::UnfinishedString { span }
    | LexError::MissingLineBreakAfterTextBlockStart { span }
    | LexError::MissingWhitespaceTextBlockStart { span }
    | LexError::InvalidTextBlockTermination { span }) = error;
    (*span, words(error))
}

fn analyze(error: &AnalyzeError) -> (SpanId, String) {
    match error {
        AnalyzeError::UnknownVariable { span, name } => (*span, format!("there is no variable `{name}`")),
        AnalyzeError::RepeatedLocalName { repeated_span, name, .. }
        | AnalyzeError::RepeatedFieldName { repeated_span, name, .. }
        | AnalyzeError::RepeatedParamName { repeated_span, name, .. } => {
            (*repeated_span, format!("duplicate `{name}`"))
        }
        AnalyzeError::SelfOutsideObject { self_span: span }
        | AnalyzeError::SuperOutsideObject { super_span: span }
        | AnalyzeError::DollarOutsideObject { dollar_span: span }
        | AnalyzeError::PositionalArgAfterNamed { arg_span: span }
        | AnalyzeError::TextBlockAsImportPath { span }
        | AnalyzeError::ComputedImportPath { span } => (*span, words(error)),
    }
}

/// The name of a kind of error as words: it says enough where nothing better is known.
fn words(kind: &impl std::fmt::Debug) -> String {
    let name = format!("{kind:?}");
    let name = name.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}
