// Dot products of vectors that lie side by side in tiles.
//
// Each dot is one chain of multiply-adds over the dimensions, in order, for any number of lanes.
#pragma once

#include "kernels.hpp"
#include "pairs.hpp"
#include "rows.hpp"
#include "simd.hpp"

namespace recfunnel::RECFUNNEL_SET {

// Vectors by vectors in one block, whose sums fill the registers.
inline constexpr int kBlockX = 4;
inline constexpr int kBlockY = kWidth == 16 ? 4 : 2;

// What a word of a vector is, and how two are multiplied.
struct FloatWords {
  static constexpr int kPerWord = 1;
  static Floats decode(Words words) { return as_floats(words); }
  RF_INLINE static Floats multiplied(Floats sum, Floats x, Floats y) {
    return multiply_added(sum, x, y);
  }
};
struct PairWords {
  static constexpr int kPerWord = 2;
  RF_INLINE static PairInput decode(Words words) { return pair_input(words); }
  RF_INLINE static Floats multiplied(Floats sum, PairInput x, PairInput y) {
    return pairs_added(sum, x, y);
  }
};

// Dots of X vectors with Y others, kWidth lanes, as done(sums). Of a triangle, where the vectors
// are the same, those with j < i alone are meant.
template <class Kind, int X, int Y, bool Triangle, class XAt, class YAt, class Done>
RF_INLINE void dots_block(int num_words, XAt x_at, YAt y_at, Done done) {
  Floats sums[X][Y] = {};
  for (int d = 0; d < num_words; ++d) {
    decltype(Kind::decode(Words{})) y[Y];
    RF_UNROLL
    for (int j = 0; j < Y; ++j) y[j] = Kind::decode(y_at(j, d));
    RF_UNROLL
    for (int i = 0; i < X; ++i) {
      const auto x = Kind::decode(x_at(i, d));
      RF_UNROLL
      for (int j = 0; j < Y; ++j) {
        if (!Triangle || j < i) sums[i][j] = Kind::multiplied(sums[i][j], x, y[j]);
      }
    }
  }
  done(sums);
}

// Where dots go: float32, row by row.
template <int X>
struct FloatRows {
  float* out;
  int lanes;
  std::ptrdiff_t start[X];  // number of each row's first dot

  template <int I, int Count, int Y>
  RF_INLINE void take(int u, const Floats (&dots)[Y]) {
    RF_UNROLL
    for (int j = 0; j < Count; ++j) store(out + (start[I] + u + j) * lanes, dots[j]);
  }
  void finish(std::ptrdiff_t) {}
};

// Where dots go: in pairs. A row that starts within a pair (its number is odd) is one behind: its
// first dot waits for the last of the row before, the last of each block for the next block.
template <int X, class IsOdd>
struct PairRows {
  std::uint32_t* out;
  int lanes;
  std::ptrdiff_t start[X];
  Floats first[X] = {}, last[X] = {};

  RF_INLINE void put(std::ptrdiff_t number, Floats low, Floats high) {
    store(out + number / 2 * lanes, bfloat16_pairs(low, high));
  }
  template <int I, int Count, int Y>
  RF_INLINE void take(int u, const Floats (&dots)[Y]) {
    constexpr int kBegin = IsOdd::of(I);
    if constexpr (kBegin == 1 && Count > 0) {
      if (u == 0) {
        first[I] = dots[0];
      } else {
        put(start[I] + u - 1, last[I], dots[0]);
      }
    }
    RF_UNROLL
    for (int j = kBegin; j + 1 < Count; j += 2) put(start[I] + u + j, dots[j], dots[j + 1]);
    if constexpr (Count > kBegin && (Count - kBegin) % 2 == 1) last[I] = dots[Count - 1];
  }
  // Once all of these rows are there; `end` is the number after the last.
  RF_INLINE void finish(std::ptrdiff_t end) {
    RF_UNROLL
    for (int i = 1; i < X; ++i) {
      if (IsOdd::of(i)) put(start[i] - 1, last[i - 1], first[i]);
    }
    if (end % 2 != 0) put(end - 1, last[X - 1], Floats{});
  }
};

// Rows of a triangle have 0, 1, 2, ... dots: with four rows from a multiple of four on, the third
// and the fourth begin within a pair. Rows of a rectangle do so by turns, if they are odd.
struct OddOfTriangle {
  static constexpr int of(int i) { return i >= 2; }
};
struct OddByTurns {
  static constexpr int of(int i) { return i % 2; }
};
struct NeverOdd {
  static constexpr int of(int) { return 0; }
};

template <int X, bool OutPairs, class IsOdd, class StartOf>
RF_INLINE auto rows_to(void* out, int lane, int lanes, StartOf start_of) {
  const auto filled = [&](auto rows) {
    for (int i = 0; i < X; ++i) rows.start[i] = start_of(i);
    return rows;
  };
  if constexpr (OutPairs) {
    return filled(PairRows<X, IsOdd>{static_cast<std::uint32_t*>(out) + lane, lanes, {}});
  } else {
    return filled(FloatRows<X>{static_cast<float*>(out) + lane, lanes, {}});
  }
}

// Words of the `first`-th vector on, for the lanes from `lane` on: at(i, d) of the i-th.
RF_INLINE auto tile_words(const void* tile, std::ptrdiff_t first, int num_words, int lanes,
                          int lane) {
  const std::ptrdiff_t vector = std::ptrdiff_t{num_words} * lanes;
  return [from = static_cast<const std::uint32_t*>(tile) + first * vector + lane, vector,
          lanes](int i, int d) { return load(from + i * vector + std::ptrdiff_t{d} * lanes); };
}

template <class Kind, bool OutPairs>
RF_INLINE void pair_dots_of(const DotsArgs& args) {
  const int num_words = args.dim / Kind::kPerWord, lanes = args.lanes;
  const auto number = [](std::ptrdiff_t v) { return v * (v - 1) / 2; };
  for (int lane = 0; lane < lanes; lane += kWidth) {
    const auto at = [&](int v) { return tile_words(args.x, v, num_words, lanes, lane); };
    for (int v = 0; v < args.num_x; v += kBlockX) {
      with_constant<kBlockX>(smaller(kBlockX, args.num_x - v), [&](auto constant) {
        constexpr int kX = decltype(constant)::value;
        auto rows = rows_to<kX, OutPairs, OddOfTriangle>(args.out, lane, lanes,
                                                         [&](int i) { return number(v + i); });
        for (int u = 0; u < v; u += kBlockY) {
          dots_block<Kind, kX, kBlockY, false>(num_words, at(v), at(u), [&](const auto& sums) {
            for_each_constant<kX>([&](auto i) {
              rows.template take<decltype(i)::value, kBlockY>(u, sums[decltype(i)::value]);
            });
          });
        }
        dots_block<Kind, kX, kX, true>(num_words, at(v), at(v), [&](const auto& sums) {
          for_each_constant<kX>([&](auto i) {
            constexpr int kI = decltype(i)::value;
            rows.template take<kI, kI>(v, sums[kI]);
          });
        });
        rows.finish(number(v + kX));
      });
    }
  }
}

template <class Kind, bool OutPairs, class IsOdd, class YAt>
RF_INLINE void cross_dots_of(const DotsArgs& args, int lane, YAt y_from) {
  const int num_words = args.dim / Kind::kPerWord;
  for (int v = 0; v < args.num_x; v += kBlockX) {
    with_constant<kBlockX>(smaller(kBlockX, args.num_x - v), [&](auto constant_x) {
      constexpr int kX = decltype(constant_x)::value;
      const auto number = [&](int i) { return std::ptrdiff_t{v + i} * args.num_y; };
      auto rows = rows_to<kX, OutPairs, IsOdd>(args.out, lane, args.lanes, number);
      const auto x_at = tile_words(args.x, v, num_words, args.lanes, lane);
      for (int u = 0; u < args.num_y; u += kBlockY) {
        with_constant<kBlockY>(smaller(kBlockY, args.num_y - u), [&](auto constant_y) {
          constexpr int kY = decltype(constant_y)::value;
          dots_block<Kind, kX, kY, false>(num_words, x_at, y_from(u), [&](const auto& sums) {
            for_each_constant<kX>([&](auto i) {
              rows.template take<decltype(i)::value, kY>(u, sums[decltype(i)::value]);
            });
          });
        });
      }
      rows.finish(number(kX));
    });
  }
}

template <class Kind, bool OutPairs, class IsOdd>
RF_INLINE void cross_dots_of(const DotsArgs& args) {
  const int num_words = args.dim / Kind::kPerWord;
  for (int lane = 0; lane < args.lanes; lane += kWidth) {
    if (args.lanes_y == 1) {
      cross_dots_of<Kind, OutPairs, IsOdd>(args, lane, [&](int u) {
        const auto* from = static_cast<const std::uint32_t*>(args.y) + std::ptrdiff_t{u} * num_words;
        return [from, num_words](int j, int d) {
          return broadcast(from[std::ptrdiff_t{j} * num_words + d]);
        };
      });
    } else {
      cross_dots_of<Kind, OutPairs, IsOdd>(args, lane, [&](int u) {
        return tile_words(args.y, u, num_words, args.lanes, lane);
      });
    }
  }
}

// lanes = 1: dots of each of x with each of y, put(v, u, dots, count) taking those of vector v with
// `count` vectors of y from the u-th on. Words of y are put into lanes, a few at a time.
template <class Kind, class Put>
RF_INLINE void dots_of_one(const DotsArgs& args, bool triangle, Put put) {
  constexpr int kStaged = 64;
  constexpr int kVectors = 4;
  alignas(64) float turned[kStaged * kWidth];
  const int num_words = args.dim / Kind::kPerWord;
  const auto* x = static_cast<const std::uint32_t*>(args.x);
  const Table vectors{static_cast<const std::byte*>(args.y), args.num_y, 4 * std::int64_t{num_words},
                      num_words, Storage::kFloat32};
  for (int u = 0; u < args.num_y; u += kWidth) {
    const int count = smaller(kWidth, args.num_y - u);
    std::int64_t rows[kWidth];
    for (int i = 0; i < kWidth; ++i) rows[i] = u + smaller(i, count - 1);
    const int first = triangle ? u + 1 : 0;
    for (int begin = 0; begin < num_words; begin += kStaged) {
      const int staged = smaller(kStaged, num_words - begin);
      gather_lanes<Format<Storage::kFloat32>>(vectors, rows, begin, staged,
                                              ToFloats<Format<Storage::kFloat32>>{turned, kWidth});
      for (int v = first; v < args.num_x; v += kVectors) {
        with_constant<kVectors>(smaller(kVectors, args.num_x - v), [&](auto constant) {
          constexpr int kNow = decltype(constant)::value;
          Floats sums[kNow];
          RF_UNROLL
          for (int i = 0; i < kNow; ++i) {
            sums[i] = begin == 0 ? Floats{} : put(v + i, u, Floats{}, 0);
          }
          const std::uint32_t* from = x + std::ptrdiff_t{v} * num_words + begin;
          for (int d = 0; d < staged; ++d) {
            const auto other = Kind::decode(as_words(load(turned + d * kWidth)));
            RF_UNROLL
            for (int i = 0; i < kNow; ++i) {
              const Words word = broadcast(from[std::ptrdiff_t{i} * num_words + d]);
              sums[i] = Kind::multiplied(sums[i], Kind::decode(word), other);
            }
          }
          RF_UNROLL
          for (int i = 0; i < kNow; ++i) put(v + i, u, sums[i], count);
        });
      }
    }
  }
}

template <class Kind>
RF_INLINE void pair_dots_of_one(const DotsArgs& args, float* out) {
  dots_of_one<Kind>(args, true, [&](int v, int u, Floats dots, int count) {
    float* to = out + std::ptrdiff_t{v} * (v - 1) / 2 + u;
    const int wanted = smaller(v - u, kWidth);
    if (count == 0) return load_first(to, wanted);
    store_first(to, dots, smaller(count, wanted));
    return dots;
  });
}

template <class Kind>
RF_INLINE void cross_dots_of_one(const DotsArgs& args, float* out) {
  dots_of_one<Kind>(args, false, [&](int v, int u, Floats dots, int count) {
    float* to = out + std::ptrdiff_t{v} * args.num_y + u;
    if (count == 0) return load_first(to, smaller(args.num_y - u, kWidth));
    store_first(to, dots, count);
    return dots;
  });
}

// Calls call(kind, out pairs or not) with both as types.
template <class Call>
RF_INLINE void with_dots_kind(const DotsArgs& args, Call call) {
  if (args.in_pairs) {
    if (args.out_pairs) return call(PairWords{}, Constant<1>{});
    return call(PairWords{}, Constant<0>{});
  }
  if (args.out_pairs) return call(FloatWords{}, Constant<1>{});
  call(FloatWords{}, Constant<0>{});
}

// lanes = 1: `call` leaves `num_dots` where it is told; they are rounded afterwards if need be.
template <class Call>
RF_INLINE void then_rounded(const DotsArgs& args, std::ptrdiff_t num_dots, Call call) {
  if (!args.out_pairs) return call(static_cast<float*>(args.out));
  auto* dots = static_cast<float*>(args.scratch);
  call(dots);
  round_values(dots, num_dots, static_cast<std::uint32_t*>(args.out));
}

inline void pair_dots(const DotsArgs& given) {
  DotsArgs args = given;
  args.y = args.x;
  args.num_y = args.num_x;
  with_dots_kind(args, [&](auto kind, auto out_pairs) {
    using Kind = decltype(kind);
    if (args.lanes > 1) return pair_dots_of<Kind, decltype(out_pairs)::value == 1>(args);
    then_rounded(args, std::ptrdiff_t{args.num_x} * (args.num_x - 1) / 2,
                 [&](float* out) { pair_dots_of_one<Kind>(args, out); });
  });
}

inline void cross_dots(const DotsArgs& given) {
  DotsArgs args = given;
  if (args.in_pairs && !args.y_in_pairs) {
    auto* rounded = static_cast<std::uint32_t*>(args.scratch);
    round_values(static_cast<const float*>(args.y), std::ptrdiff_t{args.num_y} * args.dim, rounded);
    args.y = rounded;
    args.scratch = rounded + std::ptrdiff_t{args.num_y} * args.dim;
  }
  with_dots_kind(args, [&](auto kind, auto out_pairs) {
    using Kind = decltype(kind);
    constexpr bool kOutPairs = decltype(out_pairs)::value == 1;
    if (args.lanes == 1) {
      return then_rounded(args, std::ptrdiff_t{args.num_x} * args.num_y,
                          [&](float* out) { cross_dots_of_one<Kind>(args, out); });
    }
    if (args.num_y % 2 != 0) return cross_dots_of<Kind, kOutPairs, OddByTurns>(args);
    cross_dots_of<Kind, kOutPairs, NeverOdd>(args);
  });
}

}  // namespace recfunnel::RECFUNNEL_SET
