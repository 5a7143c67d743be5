-- The same names at a fifth of the cost (2.5 against 12.5 µs): each look-up of a state, so each 304, writes one.
create or replace function state_name(word_0 bigint, word_1 bigint, word_2 bigint, word_3 bigint) returns text
language sql immutable parallel safe
return 'u1-' || encode(int8send(word_0) || int8send(word_1) || int8send(word_2) || int8send(word_3), 'hex');
