//! Where in a document a problem lies, as a JSON Pointer (RFC 6901): for programs, which count no columns.

use super::tree::{Content, Entry, Node, Span};
use crate::work;

/// What the pointer of a problem names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// The value or key at the problem's place.
    Place,
    /// The table or list around it: something is missing there, or it is wrong as a whole.
    Around,
}

/// The pointer of a place; empty for the document as a whole.
pub(super) fn pointer(root: &Node, at: &Span, aim: Aim) -> String {
    let mut search = Search { at, aim, way: Vec::new(), best: (usize::MAX, String::new()) };
    search.within(root);
    search.best.1
}

/// One part of a pointer.
#[derive(Clone, Copy)]
enum Token<'n> {
    Key(&'n str),
    Index(usize),
}

/// Looks for the smallest part of a document that holds a place. All parts are looked at: the span of a table
/// of TOML is that of its header, which holds none of its keys.
struct Search<'n, 's> {
    at: &'s Span,
    aim: Aim,
    way: Vec<Token<'n>>,
    best: (usize, String),
}

impl<'n> Search<'n, '_> {
    fn within(&mut self, node: &'n Node) {
        match &node.content {
            Content::Table(entries) => entries.iter().for_each(|entry| self.entry(entry)),
            Content::List(list) => {
                for (index, node) in list.iter().enumerate() {
                    self.way.push(Token::Index(index));
                    self.consider(&node.span, node);
                    self.within(node);
                    self.way.pop();
                }
            }
            Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) => {}
        }
    }

    fn entry(&mut self, entry: &'n Entry) {
        self.way.push(Token::Key(&entry.key));
        self.consider(&entry.key_span, &entry.node);
        self.consider(&entry.node.span, &entry.node);
        self.within(&entry.node);
        self.way.pop();
    }

    fn consider(&mut self, span: &Span, node: &Node) {
        work::count(1);
        let holds = span.start <= self.at.start && self.at.end <= span.end;
        // Of two that are as small, the inner one comes later.
        if !holds || span.len() > self.best.0 {
            return;
        }
        let inside = match self.aim {
            Aim::Place => true,
            Aim::Around => matches!(node.content, Content::Table(_) | Content::List(_)),
        };
        let way = if inside { self.way.as_slice() } else { &self.way[..self.way.len() - 1] };
        self.best = (span.len(), written(way));
    }
}

fn written(way: &[Token<'_>]) -> String {
    way.iter().fold(String::new(), |written, token| match token {
        Token::Key(key) => format!("{written}/{}", key.replace('~', "~0").replace('/', "~1")),
        Token::Index(index) => format!("{written}/{index}"),
    })
}
