//! XML as ISO 20022 messages use it, pulled element by element in bounded memory: elements of one
//! namespace, text and attributes; no document type, no entity but the predefined, no processing
//! instruction.

use std::io::{self, BufReader, Read};

use jjj_domain::recon::refusal::{FileRefusal, RefusalReason};
use quick_xml::NsReader;
use quick_xml::errors::Error;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};

use crate::bounded::Bounded;

/// The deepest nesting.
const MAX_DEPTH: usize = 32;
/// The most bytes of one piece of markup or text.
const MAX_EVENT_LEN: usize = 64 * 1024;
/// The most of one element that is read as a whole: bytes of text and names, and elements.
const MAX_NODE_LEN: usize = 256 * 1024;
const MAX_NODES: usize = 4_096;
/// The most attributes of one element; the messages have one.
const MAX_ATTRIBUTES: usize = 16;

/// An element read whole.
#[derive(Debug, Default)]
pub struct Node {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    /// Its own text, without white space around it.
    pub text: String,
    pub children: Vec<Node>,
}

impl Node {
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The element at the end of a path of names, `/` between.
    pub fn at(&self, path: &str) -> Option<&Self> {
        path.split('/').try_fold(self, |node, name| node.child(name))
    }

    /// The text at the end of a path; empty where there is none.
    pub fn text_at(&self, path: &str) -> &str {
        self.at(path).map_or("", |node| &node.text)
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What comes next below the element that is open.
pub enum Step {
    /// A child begins: [`Reader::node`] reads it whole, [`Reader::open`] enters it.
    Child(Node),
    /// The open element ends.
    End,
}

pub struct Reader<R: Read> {
    xml: NsReader<BufReader<Bounded<R>>>,
    buffer: Vec<u8>,
    /// Of the message; all elements read are in it.
    namespace: String,
    depth: usize,
    /// Of the piece read last.
    position: u64,
}

enum Piece {
    Start(Node, bool),
    End,
    Text(String),
    Over,
}

impl<R: Read> Reader<R> {
    /// Reads up to the root element, whose namespace must be one of those taken.
    pub fn new(source: R, is_taken: impl Fn(&str) -> bool) -> Result<Self, FileRefusal> {
        let mut xml = NsReader::from_reader(BufReader::new(Bounded::new(source, MAX_EVENT_LEN)));
        xml.config_mut().expand_empty_elements = true;
        xml.config_mut().check_comments = true;
        let mut reader = Self { xml, buffer: Vec::new(), namespace: String::new(), depth: 0, position: 0 };
        loop {
            match reader.piece(Some(&is_taken))? {
                Piece::Start(root, true) if root.name == "Document" => return Ok(reader),
                Piece::Start(root, _) => return Err(FileRefusal::new(RefusalReason::MessageUnknown, root.name)),
                Piece::Text(text) if text.trim().is_empty() => {}
                Piece::Text(_) | Piece::End => return Err(FileRefusal::new(RefusalReason::XmlMalformed, "no element")),
                Piece::Over => return Err(FileRefusal::new(RefusalReason::XmlMalformed, "no element")),
            }
        }
    }

    /// First byte of what was read last.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next child of the open element; only white space may stand between.
    pub fn step(&mut self) -> Result<Step, FileRefusal> {
        loop {
            match self.piece(None)? {
                Piece::Start(node, true) => return Ok(Step::Child(node)),
                Piece::Start(node, false) => {
                    return Err(FileRefusal::new(RefusalReason::Schema, format!("{} of another namespace", node.name)));
                }
                Piece::End => return Ok(Step::End),
                Piece::Text(text) if text.trim().is_empty() => {}
                Piece::Text(_) => return Err(FileRefusal::new(RefusalReason::Schema, "text between elements")),
                Piece::Over => return Err(FileRefusal::new(RefusalReason::XmlMalformed, "cut short")),
            }
        }
    }

    /// Reads the rest of an element that has begun. What is of another namespace (supplementary
    /// data) is passed over.
    pub fn node(&mut self, begun: Node) -> Result<Node, FileRefusal> {
        let (mut len, mut nodes) = (begun.name.len(), 0);
        let mut open = vec![(begun, true)];
        loop {
            let piece = self.piece(None)?;
            match piece {
                Piece::Start(node, is_ours) => {
                    nodes += 1;
                    len += node.name.len() + node.attributes.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>();
                    open.push((node, is_ours));
                }
                Piece::Text(text) => {
                    len += text.len();
                    if let Some((node, _)) = open.last_mut() {
                        node.text.push_str(&text);
                    }
                }
                Piece::End => {
                    let Some((mut node, is_ours)) = open.pop() else { break };
                    node.text = node.text.trim().to_owned();
                    match open.last_mut() {
                        Some((parent, _)) if is_ours => parent.children.push(node),
                        Some(_) => {}
                        None => return Ok(node),
                    }
                }
                Piece::Over => break,
            }
            if len > MAX_NODE_LEN || nodes > MAX_NODES {
                let name = open.first().map_or("", |(node, _)| &node.name);
                return Err(FileRefusal::new(RefusalReason::XmlTooLarge, name));
            }
        }
        Err(FileRefusal::new(RefusalReason::XmlMalformed, "cut short"))
    }

    /// After the root element nothing may follow but white space and comments.
    pub fn end(&mut self) -> Result<(), FileRefusal> {
        loop {
            match self.piece(None)? {
                Piece::Over => return Ok(()),
                Piece::Text(text) if text.trim().is_empty() => {}
                Piece::Start(..) | Piece::End | Piece::Text(_) => {
                    return Err(FileRefusal::new(RefusalReason::XmlMalformed, "something follows the message"));
                }
            }
        }
    }

    fn piece(&mut self, root: Option<&dyn Fn(&str) -> bool>) -> Result<Piece, FileRefusal> {
        loop {
            self.buffer.clear();
            self.position = self.xml.buffer_position();
            self.xml.get_mut().get_mut().mark();
            let event = match self.xml.read_event_into(&mut self.buffer) {
                Ok(event) => event,
                Err(error) => return Err(refusal(&error, self.position, self.xml.get_ref().get_ref().is_over())),
            };
            match event {
                Event::Start(start) => {
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Err(FileRefusal::new(RefusalReason::XmlTooLarge, format!("deeper than {MAX_DEPTH}")));
                    }
                    let (found, local) = self.xml.resolver().resolve_element(start.name());
                    let found = match found {
                        ResolveResult::Bound(Namespace(namespace)) => namespace,
                        ResolveResult::Unbound | ResolveResult::Unknown(_) => "",
                    };
                    if let Some(is_taken) = root {
                        if !is_taken(found) {
                            return Err(FileRefusal::new(RefusalReason::MessageUnknown, found));
                        }
                        found.clone_into(&mut self.namespace);
                    }
                    let is_ours = found == self.namespace;
                    let name = local.as_ref().to_owned();
                    return Ok(Piece::Start(
                        Node { attributes: attributes(&start)?, name, ..Node::default() },
                        is_ours,
                    ));
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(Piece::End);
                }
                Event::Text(text) => return Ok(Piece::Text(plain(&text.xml10_content())?)),
                Event::CData(text) => return Ok(Piece::Text(plain(&text.xml10_content())?)),
                Event::GeneralRef(reference) => {
                    let malformed = |_| FileRefusal::new(RefusalReason::XmlMalformed, "character reference");
                    let text = match reference.resolve_char_ref().map_err(malformed)? {
                        Some(character) => character.to_string(),
                        None => resolve_predefined_entity(&reference.xml10_content())
                            .ok_or_else(|| FileRefusal::new(RefusalReason::XmlEntity, reference.xml10_content()))?
                            .to_owned(),
                    };
                    return Ok(Piece::Text(plain(&text)?));
                }
                Event::Decl(declaration) => {
                    let encoding = declaration.encoding().transpose().ok().flatten();
                    if encoding.is_some_and(|name| !name.eq_ignore_ascii_case("utf-8")) {
                        return Err(FileRefusal::new(RefusalReason::Encoding, "expected UTF-8"));
                    }
                }
                Event::Comment(_) => {}
                Event::DocType(_) => return Err(FileRefusal::new(RefusalReason::XmlDocumentType, "")),
                Event::PI(_) => return Err(FileRefusal::new(RefusalReason::XmlMalformed, "processing instruction")),
                Event::Empty(_) => return Err(FileRefusal::new(RefusalReason::XmlMalformed, "empty element")),
                Event::Eof if self.depth > 0 => return Err(FileRefusal::new(RefusalReason::XmlMalformed, "cut short")),
                Event::Eof => return Ok(Piece::Over),
            }
        }
    }
}

fn attributes(start: &BytesStart) -> Result<Vec<(String, String)>, FileRefusal> {
    let mut found = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| FileRefusal::new(RefusalReason::XmlMalformed, error))?;
        let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0);
        // An entity of the file's own, or a malformed reference.
        let value = value.map_err(|_| FileRefusal::new(RefusalReason::XmlEntity, attribute.key.as_ref()))?;
        if found.len() == MAX_ATTRIBUTES {
            return Err(FileRefusal::new(RefusalReason::XmlTooLarge, "attributes"));
        }
        found.push((attribute.key.local_name().as_ref().to_owned(), plain(&value)?));
    }
    Ok(found)
}

/// XML 1.0 has no control characters but white space, not even as references.
fn plain(text: &str) -> Result<String, FileRefusal> {
    let is_allowed = |c: char| matches!(c, '\t' | '\n' | '\r') || c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}');
    if text.chars().all(is_allowed) {
        Ok(text.to_owned())
    } else {
        Err(FileRefusal::new(RefusalReason::XmlMalformed, "a character that XML does not have"))
    }
}

fn refusal(error: &Error, position: u64, is_over: bool) -> FileRefusal {
    match error {
        _ if is_over => FileRefusal::new(RefusalReason::XmlTooLarge, format!("byte {position}")),
        Error::Io(error) if error.kind() != io::ErrorKind::InvalidData => {
            FileRefusal::new(RefusalReason::Unreadable, error)
        }
        Error::Encoding(_) | Error::Io(_) => {
            FileRefusal::new(RefusalReason::Encoding, format!("byte {position}: expected UTF-8"))
        }
        _ => FileRefusal::new(RefusalReason::XmlMalformed, format!("byte {position}: {error}")),
    }
}
