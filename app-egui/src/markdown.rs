//! Markdown of posts, taken apart once when a post arrives, so that a frame only lays it out.
//!
//! What comes from others is bounded: depth, number of blocks, length. Images are not loaded, since
//! that would tell somebody's server who reads; they become links. HTML is shown as it was typed.

use std::ops::Range;

use linkify::{LinkFinder, LinkKind};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::api::{UserId, mention};

/// Most blocks of one post that are drawn.
const BLOCKS_MAX: usize = 400;
/// How deep lists and quotes may lie in each other.
const DEPTH_MAX: u8 = 6;

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What it is.
    pub kind: BlockKind,
    /// How deep it lies in lists.
    pub indent: u8,
    /// How deep it lies in quotes.
    pub quote: u8,
    /// Its words.
    pub spans: Vec<Span>,
}

/// Kinds of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// Running text.
    Paragraph,
    /// A heading, from 1 to 6.
    Heading(u8),
    /// An entry of a list, with its mark.
    Item(String),
    /// Code, as it was typed.
    Code,
    /// A line across.
    Rule,
}

/// Words that look alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The words.
    pub text: String,
    /// Strong.
    pub bold: bool,
    /// Emphasised.
    pub italic: bool,
    /// Struck through.
    pub strike: bool,
    /// Code.
    pub code: bool,
    /// Where a click leads.
    pub link: Option<String>,
    /// The name of a person that is mentioned.
    pub mention: bool,
}

/// Takes a text apart.
#[must_use]
pub fn parse(text: &str) -> Vec<Block> {
    let mut out = Builder::default();
    for event in Parser::new_ext(text, Options::ENABLE_STRIKETHROUGH) {
        if out.blocks.len() >= BLOCKS_MAX {
            break;
        }
        out.take(event);
    }
    out.end_block();
    mark_links(&mut out.blocks);
    out.blocks
}

/// Marks the people that a text mentions, and writes their names where it says ids.
pub fn mark_mentions(blocks: &mut [Block], people: &[(UserId, String)]) {
    if people.is_empty() {
        return;
    }
    let named: Vec<(UserId, &str)> = people
        .iter()
        .map(|(id, name)| (*id, name.as_str()))
        .collect();
    for block in blocks.iter_mut().filter(|b| b.kind != BlockKind::Code) {
        let mut spans = Vec::with_capacity(block.spans.len());
        for span in block.spans.drain(..) {
            let found = if span.code || span.link.is_some() {
                Vec::new()
            } else {
                mention::find(&span.text, &named)
            };
            let parts = found.into_iter().map(|mention| {
                let name = named.iter().find(|(user, _)| *user == mention.user);
                let part = Span {
                    text: format!("@{}", name.map_or("", |(_, name)| name)),
                    mention: true,
                    ..span.clone()
                };
                (mention.range, part)
            });
            split(&span, parts, &mut spans);
        }
        block.spans = spans;
    }
}

/// Makes links of the addresses in a text that nobody marked as such.
fn mark_links(blocks: &mut [Block]) {
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url]);
    for block in blocks.iter_mut().filter(|b| b.kind != BlockKind::Code) {
        let mut spans = Vec::with_capacity(block.spans.len());
        for span in block.spans.drain(..) {
            let known = span.code || span.link.is_some();
            let links = finder.links(&span.text).filter(|_| !known);
            let parts: Vec<_> = links
                .filter(|link| is_web(link.as_str()))
                .map(|link| {
                    let part = Span {
                        text: link.as_str().to_owned(),
                        link: Some(link.as_str().to_owned()),
                        ..span.clone()
                    };
                    (link.start()..link.end(), part)
                })
                .collect();
            split(&span, parts.into_iter(), &mut spans);
        }
        block.spans = spans;
    }
}

fn is_web(address: &str) -> bool {
    address.starts_with("https://") || address.starts_with("http://")
}

/// Puts parts in the place of what they stand for in a span.
fn split(span: &Span, parts: impl Iterator<Item = (Range<usize>, Span)>, out: &mut Vec<Span>) {
    let mut end = 0;
    let plain = |range: Range<usize>, out: &mut Vec<Span>| {
        let text = span.text.get(range).unwrap_or_default();
        if !text.is_empty() {
            out.push(Span {
                text: text.to_owned(),
                ..span.clone()
            });
        }
    };
    for (range, part) in parts {
        plain(end..range.start, out);
        out.push(part);
        end = range.end;
    }
    plain(end..span.text.len(), out);
}

/// The beginning of a text on one line, without marks.
#[must_use]
pub fn excerpt(text: &str, chars_max: usize) -> String {
    let mut words = String::new();
    for block in parse(text) {
        for span in block.spans {
            words.push_str(&span.text);
        }
        words.push(' ');
        if words.len() > chars_max * 4 {
            break;
        }
    }
    let line: Vec<&str> = words.split_whitespace().collect();
    let line = line.join(" ");
    if line.chars().count() <= chars_max {
        return line;
    }
    let mut cut: String = line.chars().take(chars_max).collect();
    cut.push('…');
    cut
}

#[derive(Default)]
struct Builder {
    blocks: Vec<Block>,
    current: Option<Block>,
    style: Span,
    quote: u8,
    /// The next number of each open list; `None` for bullets.
    lists: Vec<Option<u64>>,
    /// The mark of the entry that begins next.
    mark: Option<String>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.text(&text),
            Event::Code(code) => {
                self.style.code = true;
                self.text(&code);
                self.style.code = false;
            }
            Event::SoftBreak | Event::HardBreak => self.text("\n"),
            Event::Rule => {
                self.end_block();
                self.begin(BlockKind::Rule);
                self.end_block();
            }
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                self.text(&text);
            }
            Event::TaskListMarker(_) => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => {
                self.end_block();
                self.begin(BlockKind::Heading(
                    u8::try_from(level as usize).unwrap_or(6),
                ));
            }
            Tag::BlockQuote(_) => {
                self.end_block();
                self.quote = self.quote.saturating_add(1);
            }
            Tag::CodeBlock(kind) => {
                self.end_block();
                self.begin(BlockKind::Code);
                match kind {
                    CodeBlockKind::Indented | CodeBlockKind::Fenced(_) => {}
                }
            }
            Tag::List(first) => {
                self.end_block();
                self.lists.push(first);
            }
            Tag::Item => {
                self.end_block();
                let mark = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        let mark = format!("{number}.");
                        *number = number.saturating_add(1);
                        mark
                    }
                    Some(None) | None => "•".to_owned(),
                };
                self.mark = Some(mark);
            }
            Tag::Emphasis => self.style.italic = true,
            Tag::Strong => self.style.bold = true,
            Tag::Strikethrough => self.style.strike = true,
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.style.link = is_web(&dest_url).then(|| dest_url.to_string());
            }
            Tag::Paragraph
            | Tag::HtmlBlock
            | Tag::FootnoteDefinition(_)
            | Tag::DefinitionList
            | Tag::DefinitionListTitle
            | Tag::DefinitionListDefinition
            | Tag::Table(_)
            | Tag::TableHead
            | Tag::TableRow
            | Tag::TableCell
            | Tag::Superscript
            | Tag::Subscript
            | Tag::MetadataBlock(_) => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Emphasis => self.style.italic = false,
            TagEnd::Strong => self.style.bold = false,
            TagEnd::Strikethrough => self.style.strike = false,
            TagEnd::Link | TagEnd::Image => self.style.link = None,
            TagEnd::BlockQuote(_) => {
                self.end_block();
                self.quote = self.quote.saturating_sub(1);
            }
            TagEnd::List(_) => {
                self.end_block();
                self.lists.pop();
            }
            TagEnd::Paragraph
            | TagEnd::Heading(_)
            | TagEnd::CodeBlock
            | TagEnd::HtmlBlock
            | TagEnd::Item
            | TagEnd::FootnoteDefinition
            | TagEnd::DefinitionList
            | TagEnd::DefinitionListTitle
            | TagEnd::DefinitionListDefinition
            | TagEnd::Table
            | TagEnd::TableHead
            | TagEnd::TableRow
            | TagEnd::MetadataBlock(_) => self.end_block(),
            TagEnd::TableCell => self.text("  "),
            TagEnd::Superscript | TagEnd::Subscript => {}
        }
    }

    fn begin(&mut self, kind: BlockKind) {
        let depth = u8::try_from(self.lists.len()).unwrap_or(DEPTH_MAX);
        self.current = Some(Block {
            kind,
            indent: depth.min(DEPTH_MAX),
            quote: self.quote.min(DEPTH_MAX),
            spans: Vec::new(),
        });
    }

    fn text(&mut self, text: &str) {
        if self.current.is_none() {
            let kind = self
                .mark
                .take()
                .map_or(BlockKind::Paragraph, BlockKind::Item);
            self.begin(kind);
        }
        let Some(block) = &mut self.current else {
            return;
        };
        // What looks alike is one: an underscore or a bracket cuts no name and no address in two.
        if let Some(last) = block.spans.last_mut()
            && (Span {
                text: String::new(),
                ..last.clone()
            }) == self.style
        {
            return last.text.push_str(text);
        }
        block.spans.push(Span {
            text: text.to_owned(),
            ..self.style.clone()
        });
    }

    fn end_block(&mut self) {
        if let Some(mut block) = self.current.take() {
            if let Some(last) = block.spans.last_mut() {
                last.text.truncate(last.text.trim_end_matches('\n').len());
            }
            self.blocks.push(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Vec<String> {
        let of = |block: &Block| {
            let words: String = block.spans.iter().map(|s| s.text.as_str()).collect();
            format!("{:?} {}/{} {words}", block.kind, block.indent, block.quote)
        };
        parse(text).iter().map(of).collect()
    }

    #[test]
    fn texts_come_apart_into_blocks() {
        assert_eq!(
            shape("# A\nb *c*\n\n> d\n\n- e\n  1. f\n\n```\ng\n```\n---"),
            [
                "Heading(1) 0/0 A",
                "Paragraph 0/0 b c",
                "Paragraph 0/1 d",
                "Item(\"•\") 1/0 e",
                "Item(\"1.\") 2/0 f",
                "Code 0/0 g",
                "Rule 0/0 ",
            ]
        );
    }

    #[test]
    fn only_the_web_is_linked_and_images_are_not_loaded() {
        let blocks = parse("[a](https://a.example) ![b](http://b.example) [c](file:///etc/passwd)");
        let links: Vec<_> = blocks[0].spans.iter().map(|s| s.link.as_deref()).collect();
        assert!(links.contains(&Some("https://a.example")));
        assert!(links.contains(&Some("http://b.example")));
        assert!(!links.iter().flatten().any(|link| link.starts_with("file")));
    }

    #[test]
    fn addresses_are_links_where_nobody_marked_them() {
        let blocks = parse("see https://a.example/x_y_z(1), `https://b.example` or file:///etc");
        let links: Vec<_> = blocks[0]
            .spans
            .iter()
            .filter_map(|s| s.link.as_deref())
            .collect();
        assert_eq!(links, ["https://a.example/x_y_z(1)"]);
        let words: String = blocks[0].spans.iter().map(|s| s.text.as_str()).collect();
        assert_eq!(
            words,
            "see https://a.example/x_y_z(1), https://b.example or file:///etc"
        );
    }

    #[test]
    fn people_are_marked_by_their_names() {
        let bob = UserId::from_bytes([7; 32]);
        let people = [(bob, "Bob_the B".to_owned())];
        let mut blocks = parse("hey @bob_the b, **@07070707**! `@bob_the b`");
        mark_mentions(&mut blocks, &people);
        let found: Vec<_> = blocks[0]
            .spans
            .iter()
            .filter(|s| s.mention)
            .map(|s| (s.text.as_str(), s.bold))
            .collect();
        assert_eq!(found, [("@Bob_the B", false), ("@Bob_the B", true)]);
    }

    #[test]
    fn hostile_texts_are_bounded() {
        assert!(parse(&"- a\n\n".repeat(10_000)).len() <= BLOCKS_MAX);
        let deep = parse(&format!("{}x", "> ".repeat(500)));
        assert!(deep.iter().all(|block| block.quote <= DEPTH_MAX));
    }

    #[test]
    fn an_excerpt_is_one_line_without_marks() {
        assert_eq!(excerpt("**a**\n\nb `c`", 20), "a b c");
        assert_eq!(excerpt("abcdef", 3), "abc…");
    }
}
