// A header of the program's own, of the same name as one of trunkline's.
#pragma once

struct Node {
  int value = 7;
};
