// A fully connected layer whose weights stay compressed in flash. Prints y = W x, and does so again each second.
#include "layer.h"

static int8_t x[LAYER_COLUMNS];
static int32_t y[LAYER_ROWS];

void setup() {
    Serial.begin(115200);
    layer_example(x);
}

void loop() {
    const ncd_status status = layer_run(x, y);
    if (status != NCD_OK) {
        Serial.print("error=");
        Serial.println(static_cast<int>(status));
    } else {
        Serial.print("y=");
        for (int row = 0; row < LAYER_ROWS; ++row) {
            if (row > 0) Serial.print(" ");
            Serial.print(static_cast<long>(y[row]));
        }
        Serial.println("");
    }
    delay(1000);
}
