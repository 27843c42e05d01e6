#include "CDidact.h"
