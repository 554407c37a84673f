//! The sessions of one loop, found by token in constant time.

use crate::proxy::session::{Session, Side};
use crate::sys::epoll::Token;

/// A table whose places are used again. Each tenant of a place has another generation, so that
/// an event, or a verdict, that is meant for one who has left finds nobody.
#[derive(Default)]
pub struct Slab {
    places: Vec<Place>,
    vacant: Vec<u32>,
    /// Not used again within 2^32 connections: a verdict must not reach another client, even in a place made anew.
    last_generation: u32,
}

#[derive(Default)]
struct Place {
    generation: u32,
    tenant: Option<Box<Session>>,
}

impl Slab {
    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.places.len() - self.vacant.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tokens of the client's and Docker's descriptors of a session to come, and its place.
    pub fn reserve(&mut self) -> (u32, (Token, Token)) {
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            (self.places.len() - 1) as u32 // bounded by the number of descriptors
        });
        self.last_generation = self.last_generation.wrapping_add(1);
        let generation = self.last_generation;
        if let Some(entry) = self.places.get_mut(place as usize) {
            entry.generation = generation;
        }
        let token = |side: u32| Token {
            index: place << 1 | side,
            generation,
        };
        (place, (token(0), token(1)))
    }

    /// Fills a reserved place.
    pub fn fill(&mut self, place: u32, session: Session) {
        if let Some(place) = self.places.get_mut(place as usize) {
            place.tenant = Some(Box::new(session));
        }
    }

    /// Gives a reserved or filled place back.
    pub fn vacate(&mut self, place: u32) -> Option<Box<Session>> {
        let entry = self.places.get_mut(place as usize)?;
        self.vacant.push(place);
        entry.tenant.take()
    }

    /// The session that a token means, with its place and side; none if it has left.
    pub fn find(&mut self, token: Token) -> Option<(u32, Side, &mut Session)> {
        let place = token.index >> 1;
        let side = match token.index & 1 {
            0 => Side::Client,
            _ => Side::Docker,
        };
        if self.generation(place) != token.generation {
            return None;
        }
        self.at(place).map(|session| (place, side, session))
    }

    /// The session at a place.
    pub fn at(&mut self, place: u32) -> Option<&mut Session> {
        self.places.get_mut(place as usize)?.tenant.as_deref_mut()
    }

    /// The token of the client at a place.
    pub fn token(&self, place: u32) -> Option<Token> {
        let entry = self.places.get(place as usize)?;
        entry.tenant.as_ref().map(|_| Token {
            index: place << 1,
            generation: entry.generation,
        })
    }

    /// The number of places, taken or not.
    pub fn places(&self) -> u32 {
        self.places.len() as u32 // bounded by the number of descriptors
    }

    /// Gives the table's memory back, once nobody is in it.
    pub fn shrink(&mut self) {
        while self.places.last().is_some_and(|last| last.tenant.is_none())
            && self.places.len() > KEPT_PLACES
        {
            self.places.pop();
        }
        let end = self.places();
        self.vacant.retain(|&place| place < end);
        self.places.shrink_to(KEPT_PLACES);
        self.vacant.shrink_to(KEPT_PLACES);
    }

    fn generation(&self, place: u32) -> u32 {
        self.places
            .get(place as usize)
            .map_or(0, |place| place.generation)
    }
}

/// Places that are kept for the next clients.
const KEPT_PLACES: usize = 64;
