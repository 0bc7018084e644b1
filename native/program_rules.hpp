#pragma once

// What the parts of `Program` hold their input to.

#include <cstdint>
#include <string>

#include "program.hpp"

namespace recfunnel {

inline Precision precision_named(const std::string& name) {
  if (name == "float32") return Precision::kFloat32;
  if (name == "bfloat16") return Precision::kBFloat16;
  if (name == "int8") return Precision::kInt8;
  throw ProgramError("no precision is called '" + name + "'; known: float32, bfloat16, int8");
}

inline void require(bool condition, const std::string& message) {
  if (!condition) throw ProgramError(message);
}

inline void require_width(std::int64_t has, std::int64_t wants, const char* what) {
  require(has == wants, std::string(what) + " is " + std::to_string(has) + " wide, must be " +
                            std::to_string(wants));
}

inline Instruction make(Op op, Tile out, Tile x = {}, Tile y = {}) {
  Instruction made;
  made.op = op;
  made.out = out;
  made.x = x;
  made.y = y;
  return made;
}

// One part of an arena may be read and written at once only as a whole.
inline bool overlap(const Tile& a, const Tile& b) {
  return a.per_block == b.per_block && a.row < b.row + b.rows() && b.row < a.row + a.rows();
}

inline void require_apart(const Tile& out, const Tile& x, const char* what) {
  require(!overlap(out, x), std::string("the result of ") + what + " lies on what it reads");
}

inline void require_apart_or_same(const Tile& out, const Tile& x, const char* what) {
  if (out.row != x.row || out.per_block != x.per_block) require_apart(out, x, what);
}

}  // namespace recfunnel
